// <crowd-fab>: a raised round button.
(function (crowd) {
  "use strict";

  class CrowdFab extends crowd.CrowdIconButton {
    static styles = `${crowd.CrowdIconButton.styles}
      button {
        width: 3.5rem; height: 3.5rem; background: var(--crowd-accent); color: var(--crowd-on-accent);
        font-size: 1.25rem;
        box-shadow: 0 2px 6px rgb(0 0 0 / 0.35);
      }
      button:hover:not(:disabled), button:active:not(:disabled) {
        background: var(--crowd-accent); filter: brightness(1.1);
      }
      button:disabled { background: var(--crowd-raised); color: var(--crowd-quiet); box-shadow: none; }
    `;
  }

  crowd.define("crowd-fab", CrowdFab);
})(window.crowdElements);
