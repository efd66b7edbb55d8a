// <crowd-form>: the frame of a task. Checks, collects and hands over the answer.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  const SUBMITS = "button:not([type]), button[type='submit'], input[type='submit'], input[type='image']";
  const FIELDS = `input:not(${[
    "button",
    "checkbox",
    "color",
    "file",
    "hidden",
    "image",
    "radio",
    "range",
    "reset",
    "submit",
  ]
    .map((type) => `[type='${type}']`)
    .join(", ")})`;

  class CrowdForm extends crowd.CrowdElement {
    static attributes = {
      action: "string",
      "answer-format": "string",
      "data-submit-url": "string",
      novalidate: "boolean",
    };
    static styles = `
      :host { display: block; }
      .status { margin: 0.75rem 0; }
      .status:not(:empty) {
        padding: 0.625rem 0.875rem; border-left: 4px solid var(--crowd-accent);
        background: var(--crowd-info-surface);
      }
      .status.failed {
        border-color: var(--crowd-error); background: var(--crowd-error-surface); color: var(--crowd-error);
      }
    `;

    build() {
      // A real <form> in the light DOM, as the original has it: scripts find it, radio buttons group in it.
      // Its children move rather than being rebuilt, so that what the template's scripts hold on to stays in the page.
      const children = [...this.childNodes];
      this.form = h("form", { novalidate: true });
      this.append(this.form);
      const move = this.form.moveBefore ? "moveBefore" : "insertBefore"; // the first keeps frames and videos alive
      for (const child of children) this.form[move](child, null);
      this.status = h("div", { class: "status", part: "status", role: "alert" });
      this.shadowRoot.append(h("slot"), this.status);
      if (!document.querySelector("main, [role='main']")) this.setAttribute("role", "main");
      this.busy = false;
      this.own = null; // the submit event that is under way
      this.taken = false; // whether a script cancelled the last one and nobody did anything since
      for (const type of ["pointerdown", "keydown"]) {
        document.addEventListener(type, () => (this.taken = false), { capture: true });
      }

      // The browser's own submit events (Enter in a text field, a plain <button>) take the same road as crowd-button.
      this.addEventListener(
        "submit",
        (event) => {
          if (event === this.own) return;
          event.preventDefault();
          event.stopImmediatePropagation();
          this.requestSubmit(event.submitter);
        },
        { capture: true },
      );
      // In a frame sandboxed without allow-forms the browser doesn't even fire the event: do what it would do.
      this.addEventListener("click", (event) => {
        const button = event.target.closest?.(SUBMITS);
        if (!button || button.disabled || event.defaultPrevented) return;
        event.preventDefault();
        this.requestSubmit(button);
      });
      this.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.defaultPrevented || event.isComposing) return;
        const command = event.ctrlKey || event.metaKey;
        // Enter in the form's only text field, as HTML has it; with a plain button the browser clicks that.
        const lone = event.target.matches?.(FIELDS) && this.querySelectorAll(FIELDS).length === 1;
        if (!command && (!lone || this.querySelector(SUBMITS))) return;
        event.preventDefault();
        this.requestSubmit();
      });
      if (!this.querySelector("crowd-button[form-action='submit']")) {
        // After the form, so that what scripts append to it comes before.
        this.append(h("crowd-button", { "form-action": "submit", variant: "primary" }, "Submit"));
      }
    }

    // The answer as it stands now.
    get answer() {
      const answer = crowd.collect(this);
      return this.answerFormat === "flatten-objects" ? crowd.flatten(answer) : answer;
    }

    // What scripts of the field read before they submit: the original keeps it so.
    _serializeForm() {
      return { taskAnswers: JSON.stringify([this.answer]) };
    }

    restore(answer) {
      crowd.restore(this, answer);
    }

    invalidControls() {
      return crowd.controls(this).filter((control) => !control.checkValidity());
    }

    checkValidity() {
      return this.invalidControls().length === 0;
    }

    reportValidity() {
      const invalid = this.invalidControls();
      for (const control of crowd.controls(this)) {
        if (control instanceof crowd.CrowdControl) control.complain(control.validationMessage);
      }
      invalid[0]?.closest("crowd-tabs")?.reveal(invalid[0]);
      invalid[0]?.reportValidity();
      const messages = new Set(invalid.map((control) => control.validationMessage));
      this.tell([...messages].join(" "), true);
      return invalid.length === 0;
    }

    // As of a <form>: checks, lets the submit event be cancelled, then sends.
    requestSubmit(submitter = null) {
      if (this.busy || (!this.novalidate && !this.reportValidity())) return;
      if (this.asks(submitter)) this.send();
    }

    // Without checks, but with the submit event: AWS's samples call this and set hidden fields in onsubmit. A handler
    // that cancelled the event and then calls this, at once or later on its own, means what HTML means: send it.
    submit() {
      if (this.busy) return;
      if (this.own || this.taken || this.asks(null)) this.send();
    }

    // Fires the submit event; whether nobody cancelled it.
    asks(submitter) {
      this.own = new SubmitEvent("submit", { bubbles: true, cancelable: true, composed: true, submitter });
      try {
        this.taken = !this.form.dispatchEvent(this.own);
        return !this.taken && !this.busy;
      } finally {
        this.own = null;
      }
    }

    send() {
      const answer = this.answer;
      this.hold(true);
      this.dispatchEvent(new CustomEvent("crowd-form-submitted", { bubbles: true, composed: true, detail: answer }));
      const url = this.dataset.submitUrl || this.action;
      const preview = !url && window.parent === window;
      this.tell("Sending …");
      crowd.deliver(answer, url && crowd.safeUrl(url)).then(
        () => {
          this.hold(!preview); // a kept answer is not sent again
          this.tell(preview ? "This is a preview: nothing was sent." : "Your answer is saved.");
        },
        (error) => {
          this.hold(false);
          this.tell(error.message, true);
        },
      );
    }

    hold(busy) {
      this.busy = busy;
      for (const button of this.querySelectorAll("crowd-button[form-action='submit']")) button.loading = busy;
    }

    reset() {
      this.form.reset();
      this.tell("");
    }

    tell(text, failed = false) {
      this.status.textContent = text;
      this.status.classList.toggle("failed", failed);
    }
  }

  crowd.define("crowd-form", CrowdForm);
})(window.crowdElements);
