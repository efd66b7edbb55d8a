// <crowd-slider>: a number between min and max; <crowd-slider-label position="3"> inside it names a place.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  const preset = (slider) =>
    slider.pending ?? (slider.hasAttribute("value") ? parseFloat(slider.getAttribute("value")) : null);

  class CrowdSlider extends crowd.CrowdControl {
    static attributes = {
      disabled: "boolean",
      editable: "boolean",
      label: "string",
      max: "number",
      min: "number",
      name: "string",
      pin: "boolean",
      required: "boolean",
      "secondary-progress": "number",
      step: "number",
      value: "number",
    };
    static styles = `
      :host { display: block; max-width: 32rem; margin: 0.5rem 0; }
      .row { display: flex; align-items: flex-start; gap: 0.75rem; }
      .track { flex: 1; position: relative; padding-top: 0.25rem; }
      input[type="range"] { width: 100%; margin: 0; accent-color: var(--crowd-accent); min-height: 1.75rem; }
      input[type="number"] {
        width: 6rem; padding: 0.375rem; border: 1px solid var(--crowd-line); border-radius: 0.25rem;
        background: var(--crowd-surface);
      }
      output {
        padding-top: 0.375rem; min-width: 2.5ch; text-align: right; font-variant-numeric: tabular-nums;
        font-weight: 600;
      }
      .secondary {
        position: absolute; bottom: 0; left: 0; height: 3px;
        background: var(--crowd-slider-secondary-color, var(--crowd-faint));
      }
      .labels { position: relative; min-height: 1.25rem; margin-inline: 0.5rem; }
      .labels:not(.some) { display: none; }
    `;

    build() {
      this.range = h("input", { type: "range", "aria-describedby": "error" });
      this.box = h("input", { type: "number", "aria-label": "Value" });
      this.shown = h("output");
      this.secondary = h("div", { class: "secondary" });
      this.error = h("p", { class: "error", id: "error" });
      this.labels = h("div", { class: "labels" }, h("slot"));
      const track = h("div", { class: "track" }, this.range, this.secondary, this.labels);
      this.shadowRoot.append(h("div", { class: "row" }, track, this.shown, this.box), this.error);
      this.moved = false;
      for (const input of [this.range, this.box]) {
        input.addEventListener("input", () => {
          if (input.value !== "") this.move(Number(input.value));
        });
        input.addEventListener("change", () => {
          this.move(Number(this.range.value));
          this.announce();
        });
        // A first click where the knob already stands is an answer too, though the browser sees no change in it.
        input.addEventListener("pointerup", () => this.move(Number(this.range.value)));
      }
      this.labels.firstChild.addEventListener("slotchange", () => this.placeLabels());
    }

    changed(name) {
      for (const input of [this.range, this.box]) {
        input.min = this.min ?? 0;
        input.max = this.max ?? 100;
        input.step = this.step ?? 1;
        input.disabled = this.isDisabled;
      }
      if (!this.moved && (name === "value" || name === "min" || name === "max")) {
        this.range.value = preset(this) ?? this.min ?? 0;
      }
      const outside = [...this.internals.labels].map((label) => label.textContent.trim()).join(" ");
      this.range.setAttribute(
        "aria-label",
        this.label || this.getAttribute("aria-label") || outside || this.title || this.name || "Value",
      );
      this.box.hidden = !this.editable;
      this.shown.hidden = this.editable || !this.pin;
      this.secondary.hidden = this.secondaryProgress === null;
      this.show();
      this.placeLabels();
    }

    move(value) {
      this.moved = true;
      this.range.value = value;
      this.show();
      this.complain("");
    }

    show() {
      if (this.shadowRoot.activeElement !== this.box || !this.moved) this.box.value = this.range.value;
      this.shown.value = this.range.value;
      this.secondary.style.width = `${100 * this.share(this.secondaryProgress ?? 0)}%`;
    }

    share(value) {
      const [low, high] = [Number(this.range.min), Number(this.range.max)];
      return high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0;
    }

    placeLabels() {
      const labels = [...this.querySelectorAll("crowd-slider-label")];
      this.labels.classList.toggle("some", labels.length > 0);
      for (const label of labels)
        label.style.left = `${100 * this.share(parseFloat(label.getAttribute("position")) || 0)}%`;
    }

    get value() {
      return this.range ? Number(this.range.value) : this.pending;
    }

    set value(value) {
      if (!this.range) this.pending = value;
      else this.move(Number(value));
    }

    get answer() {
      return this.value;
    }

    restore(answer) {
      if (answer !== undefined) this.move(Number(answer));
    }

    reset() {
      this.moved = false;
      this.changed("value");
      this.complain("");
    }

    get problem() {
      if (!this.required || this.moved || this.hasAttribute("value")) return "";
      return `Choose a value${this.label || this.name ? ` for “${this.label || this.name}”` : ""}.`;
    }

    complain(text) {
      this.error.textContent = text;
    }
  }

  class CrowdSliderLabel extends crowd.CrowdElement {
    static attributes = { position: "number" };
    static styles = ":host { position: absolute; translate: -50%; font-size: 0.875rem; white-space: nowrap; }";

    build() {
      this.shadowRoot.append(h("slot"));
    }
  }

  crowd.define("crowd-slider", CrowdSlider);
  crowd.define("crowd-slider-label", CrowdSliderLabel);
})(window.crowdElements);
