// The colours of labels: the ten of AWS's documents first, then as many more as there are labels.
(function (crowd) {
  "use strict";
  const TEN = [
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
  ];

  // Hues a golden angle apart, in three lightnesses, never one of the ten.
  function more(index) {
    const hue = (index * 137.508) % 360;
    const lightness = [0.5, 0.35, 0.65][index % 3];
    const a = 0.75 * Math.min(lightness, 1 - lightness);
    const channel = (n) => {
      const k = (n + hue / 30) % 12;
      return Math.round(255 * (lightness - a * Math.max(-1, Math.min(k - 3, 9 - k, 1))))
        .toString(16)
        .padStart(2, "0");
    };
    return `#${channel(0)}${channel(8)}${channel(4)}`;
  }

  crowd.colorOf = (index) => TEN[index] ?? more(index);

  // "#1F77B4", "#abc" or "rgb(…)" as "#1f77b4"; null for what is no colour.
  crowd.hex = function hex(color) {
    const probe = document.createElement("canvas").getContext("2d");
    const read = ["#000000", "#ffffff"].map((start) => {
      probe.fillStyle = start;
      probe.fillStyle = String(color); // leaves it as it was for what is no colour
      return probe.fillStyle;
    });
    return read[0] === read[1] && /^#[0-9a-f]{6}$/.test(read[0]) ? read[0] : null;
  };
})(window.crowdElements);
