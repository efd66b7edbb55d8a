// <crowd-button>: a button; submits or resets its form when form-action says so, or is a link when it has an href.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class CrowdButton extends crowd.CrowdElement {
    static attributes = {
      disabled: "boolean",
      "form-action": "string",
      href: "string",
      icon: "string",
      "icon-align": "string",
      "icon-url": "string",
      loading: "boolean",
      target: "string",
      variant: "string",
    };
    static delegatesFocus = true;
    static styles = `
      :host { display: inline-block; vertical-align: middle; }
      .button {
        display: inline-flex; align-items: center; justify-content: center; gap: 0.5em; width: 100%;
        min-height: 2.5rem;
        padding: 0.375rem 1.25rem; border: 1px solid var(--crowd-accent); border-radius: 0.375rem;
        background: var(--crowd-surface); color: var(--crowd-accent); font-weight: 600; text-decoration: none;
      }
      .button:hover:not(:disabled) { background: var(--crowd-chosen); }
      .button.primary { background: var(--crowd-accent); color: var(--crowd-on-accent); }
      .button.primary:hover:not(:disabled) { filter: brightness(1.1); background: var(--crowd-accent); }
      .button.link {
        border-color: transparent; background: none; text-decoration: underline; padding-inline: 0.5rem;
      }
      .button.icon { border-color: transparent; background: none; padding: 0.375rem; min-width: 2.5rem; }
      .button.icon slot { display: none; }
      .button.right { flex-direction: row-reverse; }
      .button:disabled {
        background: var(--crowd-raised); color: var(--crowd-quiet); border-color: var(--crowd-faint);
      }
      img, crowd-icon { width: 1.25em; height: 1.25em; }
      .spinner {
        width: 1em; height: 1em; border: 2px solid currentcolor; border-right-color: transparent; border-radius: 50%;
        animation: turn 0.8s linear infinite;
      }
      @keyframes turn { to { transform: rotate(1turn); } }
    `;

    build() {
      this.addEventListener(
        "click",
        (event) => {
          if (this.disabled || this.loading) {
            event.preventDefault();
            event.stopImmediatePropagation();
          }
        },
        { capture: true },
      );
      this.addEventListener("click", (event) => {
        // After the template's own listeners, any of which may prevent it.
        setTimeout(() => {
          const form = this.closest("crowd-form");
          if (event.defaultPrevented || !form) return;
          if (this.formAction === "submit") form.requestSubmit(this);
          else if (this.formAction === "reset") form.reset();
        });
      });
    }

    changed() {
      const url = this.href && !this.disabled && !this.loading ? crowd.safeUrl(this.href) : null;
      const target = this.target || null;
      const face = url
        ? h("a", { href: url, target, rel: target === "_blank" ? "noopener" : null })
        : h("button", {
            type: "button",
            disabled: this.disabled || this.loading,
            "aria-busy": this.loading ? "true" : null,
          });
      face.className = `button ${this.variant} ${this.iconAlign}`;
      if (this.loading) face.append(h("span", { class: "spinner" }));
      else if (this.iconUrl) face.append(h("img", { src: this.iconUrl, alt: "" }));
      else if (this.icon) face.append(h("crowd-icon", { icon: this.icon }));
      if (this.variant === "icon") face.setAttribute("aria-label", this.textContent.trim() || this.title || this.icon);
      face.append(h("slot"));
      const focused = this.shadowRoot.activeElement !== null;
      this.shadowRoot.replaceChildren(face);
      if (focused) face.focus();
    }
  }

  crowd.define("crowd-button", CrowdButton);
})(window.crowdElements);
