// <crowd-icon-button>: a round button with an icon.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class CrowdIconButton extends crowd.CrowdElement {
    static attributes = { disabled: "boolean", icon: "string", label: "string", title: "string" };
    static delegatesFocus = true;
    static styles = `
      :host { display: inline-block; vertical-align: middle; }
      button {
        display: flex; align-items: center; justify-content: center; width: 2.75rem; height: 2.75rem; padding: 0;
        border: 0;
        border-radius: 50%; background: none; color: var(--crowd-text); font-weight: 600;
      }
      button:hover:not(:disabled) { background: var(--crowd-raised); }
      button:active:not(:disabled) { background: var(--crowd-faint); }
      button:disabled { color: var(--crowd-quiet); opacity: 0.6; }
    `;

    build() {
      this.button = h("button", { type: "button" });
      this.shadowRoot.append(this.button, h("slot", { hidden: true }));
      this.addEventListener(
        "click",
        (event) => {
          if (!this.disabled) return;
          event.preventDefault();
          event.stopImmediatePropagation();
        },
        { capture: true },
      );
    }

    changed() {
      const { icon, label, button } = this;
      button.disabled = this.disabled;
      button.replaceChildren(icon ? h("crowd-icon", { icon }) : [...label].length > 1 ? "…" : label);
      button.setAttribute("aria-label", this.getAttribute("aria-label") || this.title || label || icon || "Button");
    }
  }

  crowd.CrowdIconButton = CrowdIconButton;
  crowd.define("crowd-icon-button", CrowdIconButton);
})(window.crowdElements);
