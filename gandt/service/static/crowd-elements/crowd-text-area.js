// <crowd-text-area>: several lines of text; grows with what is typed, up to max-rows.
(function (crowd) {
  "use strict";

  class CrowdTextArea extends crowd.TextField {
    static attributes = {
      ...crowd.TextField.attributes,
      "char-counter": "boolean",
      "max-rows": "number",
      rows: "number",
    };
    static styles = `${crowd.TextField.styles}
      .field { resize: vertical; line-height: 1.4; display: block; }
    `;

    makeField() {
      return crowd.h("textarea");
    }

    changed(name) {
      super.changed(name);
      this.counter.hidden = !this.charCounter;
    }

    typed() {
      super.typed();
      const lines = this.value.split("\n").length;
      this.field.rows = Math.max(this.rows ?? 1, Math.min(lines, this.maxRows || 1000), 1);
    }
  }

  crowd.define("crowd-text-area", CrowdTextArea);
})(window.crowdElements);
