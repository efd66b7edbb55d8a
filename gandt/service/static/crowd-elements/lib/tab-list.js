// A row of tabs over panels, in the pattern that screen readers and keyboards expect.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  crowd.tabSheet = crowd.sheet(`
    [role="tablist"] { display: flex; flex-wrap: wrap; border-bottom: 1px solid var(--crowd-faint); }
    [role="tab"] { border: 0; background: none; padding: 0.625rem 1rem; border-bottom: 3px solid transparent; }
    [role="tab"][aria-selected="true"] {
      border-color: var(--crowd-accent); color: var(--crowd-accent); font-weight: 600;
    }
    [role="tabpanel"] { padding: 0.75rem 0; }
  `);

  // entries: [{title, panel}]; returns {element, show(index)}
  crowd.tabList = function tabList(entries, label, shown = () => {}) {
    const row = h("div", { role: "tablist", "aria-label": label });
    const tabs = entries.map(({ title, panel }, index) => {
      panel.id ||= crowd.uid("panel");
      const tab = h("button", { type: "button", role: "tab", id: crowd.uid("tab"), onclick: () => show(index) }, title);
      if (panel.getRootNode() === row.getRootNode() || !panel.isConnected) tab.setAttribute("aria-controls", panel.id);
      panel.setAttribute("role", "tabpanel");
      row.append(tab);
      return tab;
    });

    function show(index) {
      tabs.forEach((tab, i) => {
        tab.setAttribute("aria-selected", i === index ? "true" : "false");
        tab.tabIndex = i === index ? 0 : -1;
        entries[i].panel.hidden = i !== index;
      });
      shown(index);
    }

    row.addEventListener("keydown", (event) => {
      const at = tabs.indexOf(event.target);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (at < 0 || to === undefined) return;
      event.preventDefault();
      const next = (to + tabs.length) % tabs.length;
      show(next);
      tabs[next].focus();
    });
    show(0);
    return { element: row, show };
  };
})(window.crowdElements);
