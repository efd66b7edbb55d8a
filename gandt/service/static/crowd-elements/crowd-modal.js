// <crowd-modal>: a link or button that opens its content in a window.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class CrowdModal extends crowd.CrowdElement {
    static attributes = { "link-text": "string", "link-type": "string" };
    static styles = ":host { display: inline-block; }";

    build() {
      this.wear(crowd.dialogSheet);
      this.opener = h("button", { type: "button", "aria-haspopup": "dialog", onclick: () => this.open() });
      this.window = crowd.dialog("", h("slot"));
      this.shadowRoot.append(this.opener, this.window);
    }

    changed() {
      this.opener.textContent = this.linkText || "Click to open modal";
      this.opener.className = `opener ${this.linkType}`;
      this.window.setTitle(this.opener.textContent);
    }

    open() {
      this.window.showModal();
    }

    close() {
      this.window.close();
    }
  }

  crowd.define("crowd-modal", CrowdModal);
})(window.crowdElements);
