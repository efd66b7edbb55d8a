// What crowd-text-ranking and crowd-question-answer-generation share: a text above, instructions, and the older way of
// AWS's samples to write them, outside of the form that they name, whose instructions are an attribute.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class GenerationWidget extends crowd.CrowdWidget {
    static attributes = {
      ...crowd.CrowdWidget.attributes,
      "crowd-form-element-id": "string",
      instructions: "string",
      text: "string",
    };
    static styles = `${crowd.CrowdWidget.styles}
      .passage {
        margin: 0 0 1rem; padding: 0.75rem 1rem; border: 1px solid var(--crowd-line); border-radius: 0.375rem;
        white-space: pre-wrap; overflow-wrap: anywhere; max-height: 60vh; overflow: auto;
      }
      .hint { color: var(--crowd-quiet); font-size: 0.875rem; margin: 0.25rem 0; }
      .annotation-area.wide { grid-template-columns: minmax(0, 1fr) minmax(16rem, 26rem); }
      @media (max-width: 900px) { .annotation-area.wide { grid-template-columns: minmax(0, 1fr); } }
    `;

    connectedCallback() {
      const form = this.crowdFormElementId ? document.getElementById(this.crowdFormElementId) : null;
      if (form?.localName === "crowd-form" && !form.contains(this)) {
        if (this.contains(form)) this.after(form); // a tag that closes itself takes in what follows
        form.style.removeProperty("display"); // it stood there for its submit only
        const inside = form.form ?? form;
        inside.prepend(this); // calls this method again
        return;
      }
      super.connectedCallback();
    }

    furnish() {
      this.area.classList.add("wide");
      this.passage = h("div", { class: "passage", tabindex: 0, role: "region", "aria-label": "Text" });
      this.target.append(this.passage);
    }

    changed(name) {
      super.changed(name);
      if (name === "text") {
        this.passage.textContent = this.text;
        this.passage.hidden = !this.text;
      } else if (name === "instructions" && this.instructions && !this.region("short-instructions")) {
        this.append(h("short-instructions", {}, this.instructions));
      }
    }

    // Without a name its parts stand in the answer by themselves (lib/answer.js).
    get loose() {
      return !this.name;
    }
  }

  crowd.GenerationWidget = GenerationWidget;
})(window.crowdElements);
