// <crowd-badge>: a small mark on the upper right corner of the element that `for` names, or of its parent.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class CrowdBadge extends crowd.CrowdElement {
    static attributes = { for: "string", icon: "string", label: "string" };
    static styles = `
      :host { position: absolute; top: 0; left: 0; z-index: 1; }
      .badge {
        display: flex; align-items: center; justify-content: center; min-width: 1.375rem; height: 1.375rem;
        padding: 0 0.25rem;
        border-radius: 0.75rem; background: var(--crowd-accent); color: var(--crowd-on-accent); font-size: 0.75rem;
        font-weight: 600;
      }
      crowd-icon { width: 1rem; height: 1rem; }
    `;

    build() {
      this.badge = h("div", { class: "badge" });
      this.shadowRoot.append(this.badge, h("slot"));
      const place = () => this.place();
      new ResizeObserver(place).observe(document.documentElement);
      window.addEventListener("resize", place);
      requestAnimationFrame(place);
    }

    changed() {
      this.badge.replaceChildren(this.icon ? h("crowd-icon", { icon: this.icon }) : this.label);
      this.badge.setAttribute("role", "img");
      this.badge.setAttribute("aria-label", this.label || this.icon);
      this.place();
    }

    place() {
      const owner = this.for ? this.getRootNode().getElementById?.(this.for) : this.parentElement;
      if (!owner || !this.isConnected) return;
      // Moved by what it is off, whatever its offset parent is.
      const [box, here] = [owner.getBoundingClientRect(), this.getBoundingClientRect()];
      this.style.left = `${(parseFloat(this.style.left) || 0) + box.right - here.left - here.width / 2}px`;
      this.style.top = `${(parseFloat(this.style.top) || 0) + box.top - here.top - here.height / 2}px`;
    }
  }

  crowd.define("crowd-badge", CrowdBadge);
})(window.crowdElements);
