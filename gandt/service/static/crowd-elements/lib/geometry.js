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

    // The same for a stroke of a round brush from a to b: the row's part of either end's disc and of the band between.
    *strokeSpans(a, b, radius, width, height) {
      const { top, bottom } = geometry.box([a, b]);
      const length = Math.hypot(b.x - a.x, b.y - a.y);
      const [nx, ny] = length ? [(-(b.y - a.y) / length) * radius, ((b.x - a.x) / length) * radius] : [0, 0];
      const band = [
        { x: a.x + nx, y: a.y + ny },
        { x: b.x + nx, y: b.y + ny },
        { x: b.x - nx, y: b.y - ny },
        { x: a.x - nx, y: a.y - ny },
      ];
      const edges = length ? geometry.edges(band, true) : [];
      for (let y = Math.max(0, Math.floor(top - radius)); y < Math.min(height, Math.ceil(bottom + radius)); y++) {
        const middle = y + 0.5;
        let [left, right] = [Infinity, -Infinity];
        const reach = (x, half) => {
          left = Math.min(left, x - half);
          right = Math.max(right, x + half);
        };
        for (const end of [a, b]) {
          const square = radius * radius - (middle - end.y) ** 2;
          if (square >= 0) reach(end.x, Math.sqrt(square));
        }
        for (const [p, q] of edges) {
          if (p.y > middle !== q.y > middle) reach(p.x + ((q.x - p.x) * (middle - p.y)) / (q.y - p.y), 0);
        }
        // Pixels whose centres are covered; a brush of a single pixel still covers the one it is on.
        let from = Math.max(0, Math.ceil(left - 0.5));
        let to = Math.min(width, Math.floor(right - 0.5) + 1);
        if (to <= from && radius <= 0.75 && Math.floor(a.y) === y) [from, to] = [Math.floor(a.x), Math.floor(a.x) + 1];
        if (to > from && to <= width) yield [y, from, to];
      }
    },
  };

  crowd.geometry = geometry;
})(window.crowdElements);
