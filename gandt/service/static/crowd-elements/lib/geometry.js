// Distances and drawings of shapes, in image pixels.
(function (crowd) {
  "use strict";

  const geometry = {
    distance: (a, b) => Math.hypot(a.x - b.x, a.y - b.y),

    // From a point to the segment a–b.
    toSegment(p, a, b) {
      const [dx, dy] = [b.x - a.x, b.y - a.y];
      const length = dx * dx + dy * dy;
      const t = length ? Math.min(1, Math.max(0, ((p.x - a.x) * dx + (p.y - a.y) * dy) / length)) : 0;
      return Math.hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
    },

    // The edges of an outline, as pairs of points.
    edges(points, closed) {
      const pairs = points.slice(1).map((point, index) => [points[index], point]);
      if (closed && points.length > 2) pairs.push([points.at(-1), points[0]]);
      return pairs;
    },

    inside(p, points) {
      let odd = false;
      for (const [a, b] of geometry.edges(points, true)) {
        if (a.y > p.y !== b.y > p.y && p.x < ((b.x - a.x) * (p.y - a.y)) / (b.y - a.y) + a.x) odd = !odd;
      }
      return odd;
    },

    box(points) {
      const [xs, ys] = [points.map((p) => p.x), points.map((p) => p.y)];
      return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
    },

    // The spans [y, from, to) of pixels whose centres lie in the polygon, row by row.
    *spans(points, width, height) {
      const { top, bottom } = geometry.box(points);
      const edges = geometry.edges(points, true);
      for (let y = Math.max(0, Math.floor(top)); y < Math.min(height, Math.ceil(bottom)); y++) {
        const middle = y + 0.5;
        const crossings = edges
          .filter(([a, b]) => a.y > middle !== b.y > middle)
          .map(([a, b]) => a.x + ((b.x - a.x) * (middle - a.y)) / (b.y - a.y))
          .sort((a, b) => a - b);
        for (let i = 0; i + 1 < crossings.length; i += 2) {
          const from = Math.max(0, Math.ceil(crossings[i] - 0.5));
          const to = Math.min(width, Math.ceil(crossings[i + 1] - 0.5));
          if (to > from) yield [y, from, to];
        }
      }
    },

    // The same for a stroke of a round brush from a to b.
    *strokeSpans(a, b, radius, width, height) {
      const { top, bottom } = geometry.box([a, b]);
      const { left, right } = geometry.box([a, b]);
      for (let y = Math.max(0, Math.floor(top - radius)); y < Math.min(height, Math.ceil(bottom + radius)); y++) {
        let [from, to] = [Infinity, -1];
        const [low, high] = [Math.max(0, Math.floor(left - radius)), Math.min(width, Math.ceil(right + radius))];
        for (let x = low; x < high; x++) {
          if (geometry.toSegment({ x: x + 0.5, y: y + 0.5 }, a, b) <= radius) {
            from = Math.min(from, x);
            to = x + 1;
          }
        }
        if (to > from) yield [y, from, to];
      }
    },
  };

  crowd.geometry = geometry;
})(window.crowdElements);
