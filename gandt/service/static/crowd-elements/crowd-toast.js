// <crowd-toast>: a message that goes away by itself; one at a time.
(function (crowd) {
  "use strict";
  const { h } = crowd;
  let visible = null;

  class CrowdToast extends crowd.CrowdElement {
    static attributes = { duration: "number", opened: "boolean", text: "string" };
    static styles = `
      :host {
        position: fixed; left: 1rem; bottom: 1rem; z-index: 10; max-width: calc(100vw - 2rem); display: none;
        pointer-events: none;
      }
      ::slotted(*) { pointer-events: auto; }
      :host([opened]) { display: block; }
      .toast {
        padding: 0.75rem 1.25rem; border-radius: 0.25rem; background: var(--crowd-text); color: var(--crowd-surface);
        box-shadow: 0 2px 8px rgb(0 0 0 / 0.4);
      }
    `;

    build() {
      this.words = h("span");
      this.shadowRoot.append(h("div", { class: "toast", role: "status" }, this.words, h("slot")));
    }

    changed(name) {
      this.words.textContent = this.text;
      if (name !== "opened" && name !== "duration") return;
      clearTimeout(this.timer);
      if (!this.opened) {
        if (visible === this) visible = null;
        return;
      }
      if (visible && visible !== this) visible.opened = false;
      visible = this;
      const wait = this.duration ?? 3000; // paper-toast's; 0 and below keep it
      if (wait > 0) this.timer = setTimeout(() => (this.opened = false), wait);
    }

    show(options) {
      const text = typeof options === "string" ? options : options?.text;
      if (text !== undefined) this.text = text;
      if (options?.duration !== undefined) this.duration = options.duration;
      this.opened = true;
    }

    open() {
      this.show();
    }

    close() {
      this.opened = false;
    }

    hide() {
      this.opened = false;
    }
  }

  crowd.define("crowd-toast", CrowdToast);
})(window.crowdElements);
