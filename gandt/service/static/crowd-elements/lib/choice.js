// What crowd-checkbox, crowd-radio-button and crowd-toggle-button share: on or off, under a value.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class Choice extends crowd.CrowdControl {
    static attributes = {
      checked: "boolean",
      disabled: "boolean",
      name: "string",
      required: "boolean",
      value: "string",
    };
    static inputType = "checkbox";
    static role = null;
    static styles = `
      :host { display: inline-block; margin: 0.25rem 0.75rem 0.25rem 0; }
      label { display: inline-flex; align-items: flex-start; gap: 0.5rem; cursor: pointer; min-height: 1.5rem; }
      input { width: 1.25rem; height: 1.25rem; margin: 0.125rem 0 0; flex: none; accent-color: var(--crowd-accent); }
      :host([disabled]) label { color: var(--crowd-quiet); cursor: default; }
    `;

    build() {
      this.initial = this.hasAttribute("checked");
      this.box = h("input", {
        type: this.constructor.inputType,
        id: "box",
        role: this.constructor.role,
        "aria-describedby": "error",
      });
      this.error = h("p", { class: "error", id: "error" });
      this.shadowRoot.append(h("label", { for: "box" }, this.box, h("span", {}, h("slot"))), this.error);
      this.box.addEventListener("change", () => {
        this.checked = this.box.checked;
        this.announce();
      });
    }

    changed() {
      this.box.checked = this.checked;
      this.box.disabled = this.isDisabled;
      this.box.required = this.required;
      if (!this.textContent.trim()) {
        const outside = [...this.internals.labels].map((label) => label.textContent.trim()).join(" ");
        this.box.setAttribute(
          "aria-label",
          this.getAttribute("aria-label") || outside || this.title || this.name || this.value,
        );
      }
      if (this.error.textContent) this.complain(this.problem);
    }

    get value() {
      return this.getAttribute("value") ?? "on";
    }

    set value(text) {
      this.setAttribute("value", text);
    }

    get answer() {
      return { [this.value]: this.checked };
    }

    restore(answer) {
      this.checked = answer?.[this.value] === true;
    }

    reset() {
      this.checked = this.initial;
      this.complain("");
    }

    get problem() {
      if (!this.required || this.checked) return "";
      const called = this.textContent.trim() || this.name;
      return called ? `“${called}” has to be chosen.` : "This has to be chosen.";
    }

    complain(text) {
      this.error.textContent = text;
      this.box.setAttribute("aria-invalid", text ? "true" : "false");
    }
  }

  crowd.Choice = Choice;
})(window.crowdElements);
