// <crowd-tabs>: shows one of its <crowd-tab> children at a time.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class CrowdTabs extends crowd.CrowdElement {
    static styles = ":host { display: block; }";

    build() {
      this.wear(crowd.tabSheet);
      this.place = h("div");
      this.shadowRoot.append(this.place, h("slot"));
      new MutationObserver(() => this.arrange()).observe(this, {
        childList: true,
        subtree: true,
        attributes: true,
        attributeFilter: ["header"],
      });
      this.arrange();
    }

    arrange() {
      const tabs = [...this.querySelectorAll(":scope > crowd-tab")];
      const headers = tabs.map((tab) => tab.getAttribute("header") ?? "");
      const key = JSON.stringify(headers);
      if (key === this.key) return;
      this.key = key;
      const at = Math.min(this.selected ?? 0, tabs.length - 1);
      const entries = tabs.map((panel, index) => ({ title: headers[index] || `Tab ${index + 1}`, panel }));
      const list = crowd.tabList(entries, "Tabs", (index) => (this.selected = index));
      if (at > 0) list.show(at);
      this.place.replaceChildren(list.element);
      this.tabs = list;
    }

    // A control on a hidden tab that needs an answer: its tab comes to the front.
    reveal(element) {
      const index = [...this.querySelectorAll(":scope > crowd-tab")].findIndex((tab) => tab.contains(element));
      if (index >= 0) this.tabs.show(index);
    }
  }

  crowd.define("crowd-tabs", CrowdTabs);
})(window.crowdElements);
