// <crowd-toggle-button>: a switch.
(function (crowd) {
  "use strict";

  class CrowdToggleButton extends crowd.Choice {
    static attributes = { ...crowd.Choice.attributes, invalid: "boolean" };
    static role = "switch";
    static styles = `${crowd.Choice.styles}
      input {
        appearance: none; width: 2.5rem; height: 1.375rem; margin: 0; border-radius: 1rem;
        border: 2px solid var(--crowd-line);
        background: var(--crowd-raised); position: relative; cursor: inherit;
      }
      input::after {
        content: ""; position: absolute; inset: 2px auto 2px 2px; width: 0.875rem; border-radius: 50%;
        background: var(--crowd-line);
        transition: translate 0.15s;
      }
      input:checked { background: var(--crowd-accent); border-color: var(--crowd-accent); }
      input:checked::after { translate: 1.125rem; background: var(--crowd-on-accent); }
      input:disabled { opacity: 0.5; }
      :host([invalid]) input:not(:checked) { border-color: var(--crowd-error); }
      :host([invalid]) input:not(:checked)::after { background: var(--crowd-error); }
    `;
  }

  crowd.define("crowd-toggle-button", CrowdToggleButton);
})(window.crowdElements);
