// Which layer each pixel of an image belongs to, with undo: a grid of numbers, and a canvas that shows it.
(function (crowd) {
  "use strict";
  const TILE = 256;

  class Mask {
    constructor(width, height) {
      this.width = width;
      this.height = height;
      this.cells = new Uint16Array(width * height); // 0: nothing, n: layers[n - 1]
      this.colors = [[0, 0, 0, 0]];
      this.words = new Uint32Array([0]); // the colours as the canvas stores them
      this.canvas = document.createElement("canvas");
      this.canvas.className = "mask";
      [this.canvas.width, this.canvas.height] = [width, height];
      this.context = this.canvas.getContext("2d", { willReadFrequently: true });
      this.saved = null; // the tiles that the step under way has touched, as they were
    }

    // The colour of a layer, "#rrggbb": exactly this goes into the picture.
    setColor(layer, hex) {
      const n = parseInt(hex.slice(1), 16);
      this.colors[layer] = [n >> 16, (n >> 8) & 255, n & 255, 255];
      this.words = new Uint32Array(
        Uint8ClampedArray.from(this.colors.flatMap((color) => color ?? [0, 0, 0, 0])).buffer,
      );
    }

    begin() {
      this.saved = new Map();
    }

    // The step's tiles as they were: what swap() takes back. null when nothing was touched.
    end() {
      const { saved } = this;
      this.saved = null;
      return saved && saved.size ? saved : null;
    }

    // Fills the spans [y, from, to) with a layer; where() may say no to single cells.
    fill(spans, layer, where = null) {
      let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
      for (const [y, from, to] of spans) {
        this.save(y, from, to);
        const row = y * this.width;
        if (where) {
          for (let x = from; x < to; x++) if (where(this.cells[row + x])) this.cells[row + x] = layer;
        } else this.cells.fill(layer, row + from, row + to);
        [left, right] = [Math.min(left, from), Math.max(right, to)];
        [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
      }
      if (right > left) this.show(left, top, right, bottom);
    }

    tileBox(tile) {
      const across = Math.ceil(this.width / TILE);
      const [left, top] = [(tile % across) * TILE, Math.floor(tile / across) * TILE];
      return [left, top, Math.min(left + TILE, this.width), Math.min(top + TILE, this.height)];
    }

    save(y, from, to) {
      if (!this.saved) return;
      const across = Math.ceil(this.width / TILE);
      const first = Math.floor(y / TILE) * across;
      for (let tile = first + Math.floor(from / TILE); tile <= first + Math.floor((to - 1) / TILE); tile++) {
        if (!this.saved.has(tile)) this.saved.set(tile, this.read(tile));
      }
    }

    read(tile) {
      const [left, top, right, bottom] = this.tileBox(tile);
      const copy = new Uint16Array((right - left) * (bottom - top));
      for (let y = top; y < bottom; y++) {
        copy.set(this.cells.subarray(y * this.width + left, y * this.width + right), (y - top) * (right - left));
      }
      return copy;
    }

    // Exchanges the tiles' cells with the saved ones: undo, and by doing it again redo.
    swap(tiles) {
      for (const [tile, cells] of tiles) {
        const [left, top, right, bottom] = this.tileBox(tile);
        const now = this.read(tile);
        for (let y = top; y < bottom; y++) {
          const start = (y - top) * (right - left);
          this.cells.set(cells.subarray(start, start + right - left), y * this.width + left);
        }
        tiles.set(tile, now);
        this.show(left, top, right, bottom);
      }
    }

    show(left, top, right, bottom) {
      const image = this.context.createImageData(right - left, bottom - top);
      const pixels = new Uint32Array(image.data.buffer);
      let at = 0;
      for (let y = top; y < bottom; y++) {
        const row = y * this.width;
        for (let x = left; x < right; x++) pixels[at++] = this.words[this.cells[row + x]];
      }
      this.context.putImageData(image, left, top);
    }

    showAll() {
      this.show(0, 0, this.width, this.height);
    }

    // How many pixels each layer has, by layer number.
    counts() {
      const counts = new Uint32Array(this.colors.length);
      for (const cell of this.cells) counts[cell] += 1;
      return counts;
    }

    // The picture as base64, without the prefix of a data: address.
    png() {
      return this.canvas.toDataURL("image/png").replace(/^data:image\/png;base64,/, "");
    }

    // Takes over a picture of colours: each pixel goes to the layer of its colour, or of one that is nearly it.
    paint(image) {
      const probe = document.createElement("canvas");
      [probe.width, probe.height] = [this.width, this.height];
      const context = probe.getContext("2d", { willReadFrequently: true });
      context.imageSmoothingEnabled = false;
      context.drawImage(image, 0, 0, this.width, this.height);
      const { data } = context.getImageData(0, 0, this.width, this.height); // throws where CORS forbids it
      const known = new Map();
      for (let cell = 0; cell < this.cells.length; cell++) {
        const at = cell * 4;
        const key = (data[at] << 16) | (data[at + 1] << 8) | data[at + 2];
        if (data[at + 3] < 128) this.cells[cell] = 0;
        else {
          if (!known.has(key)) known.set(key, this.nearest(data[at], data[at + 1], data[at + 2]));
          this.cells[cell] = known.get(key);
        }
      }
      this.showAll();
    }

    nearest(r, g, b) {
      let [best, least] = [0, 30];
      this.colors.forEach((color, layer) => {
        const far = Math.abs(color[0] - r) + Math.abs(color[1] - g) + Math.abs(color[2] - b);
        if (layer > 0 && far < least) [best, least] = [layer, far];
      });
      return best;
    }
  }

  crowd.Mask = Mask;
})(window.crowdElements);
