// The frame around every annotation tool: header, instructions (short ones beside, full ones in a window), the place of
// work and the place of the labels. Class names that scripts of AWS's samples look for in the shadow root are kept.
(function (crowd) {
  "use strict";
  const { h } = crowd;
  const REGIONS = ["short-instructions", "full-instructions", "classification-target", "worker-comment"];

  class CrowdWidget extends crowd.CrowdControl {
    static delegatesFocus = false;
    static attributes = { header: "string", name: "string" };
    static styles = `
      :host { display: block; margin: 0 0 1rem; }
      .layout {
        display: grid; grid-template-columns: minmax(12rem, 17rem) minmax(0, 1fr); gap: 1.25rem; align-items: start;
      }
      .layout.bare { grid-template-columns: minmax(0, 1fr); }
      .awsui-app-layout__navigation {
        border-right: 1px solid var(--crowd-faint); padding-right: 1rem; overflow-wrap: break-word;
      }
      summary { font-weight: 600; cursor: pointer; padding: 0.375rem 0; }
      .annotation-header { margin: 0 0 0.75rem; font-size: 1.25rem; line-height: 1.3; }
      .annotation-area {
        display: grid; grid-template-columns: minmax(0, auto) minmax(11rem, 16rem); gap: 1.25rem;
        align-items: start; justify-content: start;
      }
      .annotation-area.wide { grid-template-columns: minmax(0, 1fr) minmax(11rem, 15rem); }
      .target { min-width: 0; overflow-wrap: break-word; }
      .category-picker-wrapper { min-width: 0; }
      @media (max-width: 900px) {
        .layout, .annotation-area, .annotation-area.wide { grid-template-columns: minmax(0, 1fr); gap: 0.75rem; }
        .awsui-app-layout__navigation {
          border-right: 0; border-bottom: 1px solid var(--crowd-faint); padding: 0 0 0.5rem;
        }
        .annotation-header { font-size: 1.125rem; }
      }
    `;

    build() {
      this.wear(crowd.dialogSheet);
      this.full = crowd.dialog("Instructions", h("slot", { name: "full-instructions" }));
      this.more = h("button", { type: "button", class: "opener", "aria-haspopup": "dialog" }, "View full instructions");
      this.more.addEventListener("click", () => this.full.showModal());
      this.brief = h("slot", { name: "short-instructions" });
      // Folded on a phone, where the image should be the first thing.
      const folded = window.matchMedia("(max-width: 900px)").matches;
      this.guide = h("details", { open: !folded }, h("summary", {}, "Instructions"), this.brief);
      this.aside = h(
        "aside",
        { class: "awsui-app-layout__navigation", "aria-label": "Instructions" },
        this.guide,
        this.more,
      );
      this.heading = h("h2", { class: "annotation-header", id: "header" });
      this.error = h("p", { class: "error", id: "error" });
      this.area = h("div", { class: "annotation-area" });
      this.target = h("div", { class: "target" });
      this.picker = h("div", { class: "category-picker-wrapper" });
      this.area.append(this.target, this.picker);
      this.layout = h(
        "div",
        { class: "layout awsui-app-layout" },
        this.aside,
        h("section", { "aria-labelledby": "header" }, this.heading, this.error, this.area, h("slot")),
      );
      this.shadowRoot.append(this.layout, this.full);
      new MutationObserver(() => this.arrange()).observe(this, {
        childList: true,
        subtree: true,
        attributes: true,
        attributeFilter: ["header"],
      });
      this.furnish();
      this.arrange();
    }

    // Subclasses fill this.target and this.picker.
    furnish() {}

    region(name) {
      return this.querySelector(`:scope > ${name}`);
    }

    arrange() {
      for (const child of this.children) {
        const slot = REGIONS.includes(child.localName) ? child.localName : "";
        if (child.slot !== slot) child.slot = slot;
      }
      const [brief, full] = [this.region("short-instructions"), this.region("full-instructions")];
      this.guide.hidden = !brief;
      this.more.hidden = !full;
      this.aside.hidden = !brief && !full;
      this.layout.classList.toggle("bare", this.aside.hidden);
      this.full.setTitle(full?.getAttribute("header") || "Instructions");
    }

    changed(name) {
      if (name === "header") {
        this.heading.textContent = this.header;
        this.heading.hidden = !this.header;
      }
    }

    complain(text) {
      this.error.textContent = text;
    }

    focus(options) {
      (this.focusTarget?.() ?? this.shadowRoot.querySelector("button, input"))?.focus(options);
    }

    // Whether a key pressed anywhere on the page is meant for this widget: it has the focus, or it is the page's only
    // one and nobody is typing.
    hears(event) {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return false;
      const path = event.composedPath();
      const typing = path[0].matches?.(
        "textarea, select, [contenteditable], input:not([type=radio], [type=checkbox], [type=range])",
      );
      if (typing || this.getRootNode().querySelector?.("dialog[open]") || this.full.open || this.dialogOpen)
        return false;
      if (path.includes(this)) return true;
      const widgets = [...document.querySelectorAll("*")].filter((element) => element instanceof CrowdWidget);
      return widgets.length === 1 && widgets[0] === this;
    }

    // Digits 1 to 9 and 0 are the first ten labels.
    listenForDigits(choose) {
      const listen = (event) => {
        if (!this.isConnected) return document.removeEventListener("keydown", listen);
        if (!/^[0-9]$/.test(event.key) || !this.hears(event)) return undefined;
        if (choose(event.key === "0" ? 9 : Number(event.key) - 1)) event.preventDefault();
        return undefined;
      };
      document.addEventListener("keydown", listen);
    }
  }

  // A list of categories or labels, each an option that is wide enough for a finger.
  crowd.optionSheet = crowd.sheet(`
    fieldset { border: 0; margin: 0; padding: 0; min-width: 0; }
    legend { font-weight: 600; padding: 0; margin-bottom: 0.5rem; }
    .options { display: flex; flex-direction: column; gap: 0.5rem; max-height: 70vh; overflow: auto; padding: 4px; }
    .option {
      display: flex; align-items: center; gap: 0.625rem; min-height: 2.75rem; padding: 0.375rem 0.75rem;
      cursor: pointer;
      border: 1px solid var(--crowd-line); border-radius: 0.375rem; background: var(--crowd-surface);
      overflow-wrap: anywhere;
    }
    .option:hover { background: var(--crowd-raised); }
    .option:has(:checked) {
      background: var(--crowd-chosen); border-color: var(--crowd-accent);
      box-shadow: inset 0 0 0 1px var(--crowd-accent);
    }
    .option span { flex: 1; }
    .option input { width: 1.125rem; height: 1.125rem; flex: none; margin: 0; accent-color: var(--crowd-accent); }
    kbd {
      color: var(--crowd-quiet); font: 0.8125rem ui-monospace, monospace; border: 1px solid var(--crowd-faint);
      border-radius: 0.25rem; padding: 0 0.375rem;
    }
    .finder {
      width: 100%; min-height: 2.5rem; padding: 0.25rem 0.625rem; margin-bottom: 0.375rem;
      border: 1px solid var(--crowd-line); border-radius: 0.375rem; background: var(--crowd-surface);
    }
    @media (pointer: coarse) { kbd { display: none; } }
    @media (max-width: 900px) { .options { max-height: none; } .options.many { max-height: 50vh; } }
  `);

  const MANY = 20;

  // Before a list of many options: a field that leaves those with the typed words. Enter takes the first of them.
  crowd.finder = function finder(options) {
    const field = h("input", { type: "search", class: "finder", "aria-label": "Find", placeholder: "Find …" });
    const sift = () => {
      const words = field.value.toLowerCase().split(/\s+/);
      for (const option of options.children) {
        const text = option.querySelector("input")?.value.toLowerCase() ?? "";
        option.hidden = !words.every((word) => text.includes(word));
      }
    };
    field.addEventListener("input", (event) => {
      event.stopPropagation(); // no part of the answer
      sift();
    });
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      options.querySelector(":scope > :not([hidden]) input")?.click();
      field.select();
    });
    const count = () => {
      const many = options.children.length > MANY;
      field.hidden = !many;
      options.classList.toggle("many", many);
      if (many) sift();
    };
    new MutationObserver(count).observe(options, { childList: true });
    count();
    return field;
  };

  // ['Cat', 'Dog'] or [{label: 'Cat', ...}]: the labels as texts. What isn't a list is no label.
  crowd.labelTexts = function labelTexts(list) {
    if (!Array.isArray(list)) return [];
    return list.map((item) => {
      if (typeof item !== "object" || item === null) return String(item);
      return String(item.label ?? item.value ?? item.text ?? item.fullDisplayName ?? JSON.stringify(item));
    });
  };

  crowd.keyName = (index) => (index < 9 ? String(index + 1) : index === 9 ? "0" : "");

  crowd.CrowdWidget = CrowdWidget;
})(window.crowdElements);
