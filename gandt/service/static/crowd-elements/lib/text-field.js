// What crowd-input and crowd-text-area share: a labelled field, its limits and its complaints.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class TextField extends crowd.CrowdControl {
    static attributes = {
      "allowed-pattern": "string",
      "auto-focus": "boolean",
      "auto-validate": "boolean",
      disabled: "boolean",
      "error-message": "string",
      label: "string",
      "max-length": "number",
      "min-length": "number",
      name: "string",
      placeholder: "string",
      required: "boolean",
      value: "string",
    };
    static styles = `
      :host { display: block; margin: 0.5rem 0; max-width: 40rem; }
      label { display: block; font-weight: 600; margin-bottom: 0.25rem; }
      .field {
        width: 100%; padding: 0.5rem 0.625rem; border: 1px solid var(--crowd-line); border-radius: 0.25rem;
        background: var(--crowd-surface);
      }
      .field:disabled { background: var(--crowd-raised); color: var(--crowd-quiet); }
      .field[aria-invalid="true"] { border-color: var(--crowd-error); }
      .below { display: flex; justify-content: space-between; gap: 1rem; }
      .counter { color: var(--crowd-quiet); font-size: 0.875rem; margin-left: auto; }
    `;

    // Subclasses: the <input> or <textarea>.
    makeField() {}

    build() {
      this.field = this.makeField();
      this.field.className = "field";
      this.field.id = "field";
      this.field.setAttribute("aria-describedby", "error");
      this.caption = h("label", { for: "field" });
      this.error = h("p", { class: "error", id: "error" });
      this.counter = h("span", { class: "counter", hidden: true });
      this.shadowRoot.append(this.caption, this.field, h("div", { class: "below" }, this.error, this.counter));
      this.field.value = this.pending ?? this.getAttribute("value") ?? "";
      this.touched = this.pending !== undefined; // since then the attribute is only what a reset goes back to
      this.field.addEventListener("beforeinput", (event) => this.filter(event));
      this.field.addEventListener("input", () => {
        this.touched = true;
        this.typed();
      });
      this.field.addEventListener("change", () => this.announce());
      this.field.addEventListener("blur", () => this.autoValidate && this.complain(this.problem));
      if (this.autoFocus && this.getAttribute("auto-focus") !== "false") this.field.focus({ preventScroll: true });
      this.typed();
    }

    changed(name) {
      const { field } = this;
      if (name === "value" && !this.touched) field.value = this.getAttribute("value") ?? "";
      this.caption.textContent = this.label;
      this.caption.hidden = !this.label;
      // Without a caption of its own: a <label> around or for it, else its placeholder, else its name.
      const outside = [...this.internals.labels].map((label) => label.textContent.trim()).join(" ");
      const spoken = this.label ? null : outside || this.getAttribute("aria-label") || this.placeholder || this.name;
      for (const [attribute, value] of Object.entries({
        "aria-label": spoken,
        placeholder: this.placeholder || null,
        maxlength: this.maxLength,
        required: this.required ? "" : null,
      })) {
        if (value === null) field.removeAttribute(attribute);
        else field.setAttribute(attribute, value);
      }
      field.disabled = this.isDisabled;
      this.typed();
    }

    typed() {
      this.counter.textContent =
        this.maxLength === null ? `${this.value.length}` : `${this.value.length} of ${this.maxLength}`;
      if (this.error.textContent) this.complain(this.problem);
    }

    // allowed-pattern with auto-validate: characters that don't match never get in, typed or pasted.
    filter(event) {
      if (!this.autoValidate || !this.allowedPattern || !event.data) return;
      const pattern = this.pattern();
      if (!pattern || [...event.data].every((character) => pattern.test(character))) return;
      event.preventDefault();
      const kept = [...event.data].filter((character) => pattern.test(character)).join("");
      if (kept && this.field.setRangeText && this.field.selectionStart !== null) {
        this.field.setRangeText(kept, this.field.selectionStart, this.field.selectionEnd, "end");
        this.field.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
      }
    }

    pattern() {
      try {
        return new RegExp(this.allowedPattern, "u");
      } catch {
        crowd.report(`<${this.localName}>: its allowed-pattern isn't a regular expression: ${this.allowedPattern}`);
        return null;
      }
    }

    get value() {
      return this.built || this.field ? this.field.value : (this.pending ?? this.getAttribute("value") ?? "");
    }

    set value(text) {
      const value = text === null || text === undefined ? "" : String(text);
      if (!this.field) {
        this.pending = value;
        return;
      }
      this.touched = true;
      this.field.value = value;
      this.typed();
    }

    get answer() {
      const text = this.value.replace(/\r\n?/g, "\n");
      return text === "" ? undefined : text;
    }

    restore(answer) {
      this.value = typeof answer === "string" ? answer : "";
    }

    reset() {
      this.touched = false;
      this.field.value = this.getAttribute("value") ?? "";
      this.typed();
      this.complain("");
    }

    get problem() {
      const { value } = this;
      const called = this.label || this.getAttribute("aria-label") || this.placeholder || this.name;
      let problem = "";
      if (value === "") problem = this.required ? `Fill in ${called ? `“${called}”` : "this field"}.` : "";
      else if (this.minLength !== null && value.length < this.minLength)
        problem = `Enter at least ${this.minLength} characters.`;
      else if (this.maxLength !== null && value.length > this.maxLength)
        problem = `Enter at most ${this.maxLength} characters.`;
      else if (!this.field.validity.valid) problem = this.field.validationMessage;
      else if (this.autoValidate && this.allowedPattern) {
        const pattern = this.pattern();
        if (pattern && ![...value].every((character) => pattern.test(character)))
          problem = "Some characters are not allowed here.";
      }
      return problem && (this.errorMessage || problem);
    }

    complain(text) {
      this.error.textContent = text;
      this.field.setAttribute("aria-invalid", text ? "true" : "false");
    }
  }

  crowd.TextField = TextField;
})(window.crowdElements);
