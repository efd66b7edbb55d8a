// <crowd-input>: one line of text, or what its type says.
(function (crowd) {
  "use strict";

  class CrowdInput extends crowd.TextField {
    static attributes = { ...crowd.TextField.attributes, type: "string" };

    makeField() {
      return crowd.h("input", { autocomplete: "off" });
    }

    changed(name) {
      if (name === "type") {
        const text = this.value;
        this.field.type = this.type || "text";
        if (this.field.type !== "file") this.field.value = text;
      }
      super.changed(name);
    }

    get answer() {
      if (this.field.type === "file") return [...this.field.files].map((file) => file.name).join(", ") || undefined;
      return super.answer;
    }
  }

  crowd.define("crowd-input", CrowdInput);
})(window.crowdElements);
