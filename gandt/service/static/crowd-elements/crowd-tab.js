// <crowd-tab>: one page of crowd-tabs, under its header.
(function (crowd) {
  "use strict";

  class CrowdTab extends crowd.CrowdElement {
    static attributes = { header: "string" };
    static styles = ":host { display: block; padding: 0.75rem 0; }";

    build() {
      this.shadowRoot.append(crowd.h("slot"));
    }

    changed() {
      this.setAttribute("aria-label", this.header);
    }
  }

  crowd.define("crowd-tab", CrowdTab);
})(window.crowdElements);
