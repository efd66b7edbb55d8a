// <crowd-instructions>: a link or button that opens a summary, details and examples.
(function (crowd) {
  "use strict";
  const { h } = crowd;
  const PAGES = [
    ["Summary", ["short-summary"]],
    ["Detailed Instructions", ["detailed-instructions"]],
    ["Examples", ["positive-example", "negative-example"]],
  ];
  const HEADINGS = { "positive-example": "Good example", "negative-example": "Bad example" };

  class CrowdInstructions extends crowd.CrowdElement {
    static attributes = { "link-text": "string", "link-type": "string" };
    static styles = `
      :host { display: block; margin: 0.5rem 0; }
      h3 { margin: 0.5rem 0; font-size: 1rem; }
      .positive-example { border-left: 4px solid var(--crowd-success); padding-left: 0.75rem; }
      .negative-example { border-left: 4px solid var(--crowd-error); padding-left: 0.75rem; }
    `;

    build() {
      this.wear(crowd.dialogSheet, crowd.tabSheet);
      this.opener = h("button", { type: "button", "aria-haspopup": "dialog", onclick: () => this.open() });
      const pages = PAGES.map(([title, regions]) => ({ title, regions, panel: h("div") }));
      for (const page of pages) {
        for (const region of page.regions) {
          const heading = HEADINGS[region] ? h("h3", {}, HEADINGS[region]) : null;
          page.panel.append(h("section", { class: region }, heading, h("slot", { name: region })));
        }
      }
      this.pages = pages;
      this.tabs = crowd.tabList(pages, "Instructions");
      this.window = crowd.dialog("Instructions", this.tabs.element, ...pages.map((page) => page.panel));
      this.shadowRoot.append(this.opener, this.window);
      new MutationObserver(() => this.arrange()).observe(this, { childList: true });
      this.arrange();
    }

    // Sends each region to its page; hides the pages that have none.
    arrange() {
      for (const child of this.children) {
        if (PAGES.some(([, regions]) => regions.includes(child.localName))) child.slot = child.localName;
      }
      const tabs = [...this.tabs.element.children];
      this.pages.forEach(({ regions, panel }, index) => {
        const here = regions.filter((region) => this.querySelector(`:scope > ${region}`));
        tabs[index].hidden = here.length === 0;
        for (const section of panel.children) section.hidden = !here.includes(section.className);
      });
      this.tabs.show(
        Math.max(
          0,
          tabs.findIndex((tab) => !tab.hidden),
        ),
      );
    }

    changed() {
      this.opener.textContent = this.linkText || "Click for instructions";
      this.opener.className = `opener ${this.linkType}`;
    }

    open() {
      this.window.showModal();
    }

    close() {
      this.window.close();
    }
  }

  crowd.define("crowd-instructions", CrowdInstructions);
})(window.crowdElements);
