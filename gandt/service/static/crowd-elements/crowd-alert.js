// <crowd-alert>: a message of one of four kinds, which the worker may be allowed to put away.
(function (crowd) {
  "use strict";
  const { h } = crowd;
  const ICONS = { info: "info", success: "check-circle", warning: "warning", error: "error" };

  class CrowdAlert extends crowd.CrowdElement {
    static attributes = { dismissible: "boolean", type: "string" };
    static styles = `
      :host { display: block; margin: 0.5rem 0; }
      .alert {
        display: flex; align-items: flex-start; gap: 0.625rem; padding: 0.75rem; border-left: 4px solid;
        border-radius: 0.25rem;
        background: var(--crowd-info-surface); border-color: var(--crowd-accent);
      }
      .alert > crowd-icon { flex: none; color: var(--crowd-accent); }
      .text { flex: 1; padding-top: 0.125rem; overflow-wrap: anywhere; }
      .success { background: var(--crowd-success-surface); border-color: var(--crowd-success); }
      .success > crowd-icon { color: var(--crowd-success); }
      .warning { background: var(--crowd-warning-surface); border-color: var(--crowd-warning); }
      .warning > crowd-icon { color: var(--crowd-warning); }
      .error {
        font-size: inherit; color: inherit; margin: 0; background: var(--crowd-error-surface);
        border-color: var(--crowd-error);
      }
      .error > crowd-icon { color: var(--crowd-error); }
      button {
        flex: none; border: 0; background: none; min-width: 2rem; min-height: 2rem; font-size: 1.25rem;
        line-height: 1;
      }
    `;

    build() {
      this.icon = h("crowd-icon");
      this.close = h("button", { type: "button", "aria-label": "Dismiss", onclick: () => this.remove() }, "×");
      this.box = h("div", {}, this.icon, h("div", { class: "text" }, h("slot")), this.close);
      this.shadowRoot.append(this.box);
    }

    changed() {
      const kind = Object.hasOwn(ICONS, this.type) ? this.type : "info";
      this.box.className = `alert ${kind}`;
      this.box.setAttribute("role", kind === "error" || kind === "warning" ? "alert" : "status");
      this.icon.setAttribute("icon", ICONS[kind]);
      this.close.hidden = !this.dismissible;
    }
  }

  crowd.define("crowd-alert", CrowdAlert);
})(window.crowdElements);
