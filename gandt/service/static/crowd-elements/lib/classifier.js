// What the four classifiers share: a list of categories to choose from, beside something to look at.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class Classifier extends crowd.CrowdWidget {
    static attributes = { ...crowd.CrowdWidget.attributes, categories: "json", "exclusion-category": "json" };
    static several = false;

    furnish() {
      this.wear(crowd.optionSheet);
      this.chosen = new Set();
      this.legend = h("legend", {}, this.constructor.several ? "Choose all that apply" : "Choose one");
      this.options = h("div", { class: "options" });
      this.picker.append(
        h("fieldset", { "aria-describedby": "error" }, this.legend, crowd.finder(this.options), this.options),
      );
      this.options.addEventListener("change", (event) => this.pick(event.target));
      this.listenForDigits((index) => {
        const input = this.inputs()[index];
        if (!input || input.disabled) return false;
        input.click();
        input.focus();
        return true;
      });
    }

    inputs() {
      return [...this.options.querySelectorAll("input")];
    }

    focusTarget() {
      return this.inputs().find((input) => input.checked) ?? this.inputs()[0];
    }

    get exclusion() {
      const category = this.exclusionCategory;
      const text = typeof category === "object" && category !== null ? category.text : category;
      return this.constructor.several && text ? String(text) : null;
    }

    changed(name) {
      super.changed(name);
      if (name === "categories" || name === "exclusion-category") this.list();
      for (const input of this.inputs()) input.disabled = this.isDisabled;
    }

    list() {
      const categories = crowd.labelTexts(this.categories);
      const all =
        this.exclusion === null || categories.includes(this.exclusion) ? categories : [...categories, this.exclusion];
      for (const label of this.chosen) if (!all.includes(label)) this.chosen.delete(label);
      const type = this.constructor.several ? "checkbox" : "radio";
      this.options.replaceChildren(
        ...all.map((category, index) =>
          h(
            "label",
            { class: "option" },
            h("input", { type, name: "category", value: category, checked: this.chosen.has(category) }),
            h("span", {}, category),
            crowd.keyName(index) ? h("kbd", { "aria-hidden": "true" }, crowd.keyName(index)) : null,
          ),
        ),
      );
      for (const input of this.inputs()) input.disabled = this.isDisabled;
    }

    pick(input) {
      if (!this.constructor.several) this.chosen.clear();
      if (input.checked) this.chosen.add(input.value);
      else this.chosen.delete(input.value);
      // "None of the above" and the others exclude each other.
      if (input.checked && this.exclusion !== null) {
        for (const label of [...this.chosen]) {
          if ((label === this.exclusion) !== (input.value === this.exclusion)) this.chosen.delete(label);
        }
      }
      this.show();
      this.announce("input");
      this.announce();
    }

    show() {
      for (const input of this.inputs()) input.checked = this.chosen.has(input.value);
      if (this.chosen.size) this.complain("");
    }

    // The chosen category, or for several the list of them in the order of the categories.
    get value() {
      if (!this.built) return undefined;
      const labels = this.inputs()
        .map((input) => input.value)
        .filter((label) => this.chosen.has(label));
      return this.constructor.several ? labels : labels[0];
    }

    set value(value) {
      if (!this.built) return;
      const known = new Set(this.inputs().map((input) => input.value));
      this.chosen = new Set([value ?? []].flat().filter((label) => known.has(label)));
      this.show();
    }

    get answer() {
      if (this.chosen.size === 0) return undefined;
      return this.constructor.several ? { labels: this.value } : { label: this.value };
    }

    restore(answer) {
      this.value = answer?.labels ?? answer?.label;
    }

    reset() {
      this.chosen.clear();
      this.show();
      this.complain("");
    }

    get problem() {
      if (this.chosen.size || this.inputs().length === 0) return "";
      return this.constructor.several ? "Choose at least one category." : "Choose a category.";
    }
  }

  // The two that classify what stands in <classification-target>.
  class TargetClassifier extends Classifier {
    furnish() {
      super.furnish();
      this.target.append(h("slot", { name: "classification-target" }));
    }
  }

  crowd.Classifier = Classifier;
  crowd.TargetClassifier = TargetClassifier;
})(window.crowdElements);
