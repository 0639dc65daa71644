// A map without foreign tiles: places by their coordinates, a person's home, a scale. An equirectangular projection about
// the middle, which over a region is true enough to compare distances by eye.

import { h, svg } from "./dom.js";
import { number, t } from "./words.js";

const WIDTH = 620, HEIGHT = 400, EDGE = 34, KM_PER_DEGREE = 111.32;

/** `home` and `places` are `{latitude, longitude}`, places with `name` and `rank`; `others` are drawn as dots. */
export function map(home, places, others = []) {
  const near = home ? [home, ...places] : places;
  if (near.length < 1) return null;
  const bound = (list, name, pick) => pick(...list.map((one) => one[name]));
  const middle = ["latitude", "longitude"].map((name) => (bound(near, name, Math.min) + bound(near, name, Math.max)) / 2);
  const shrink = Math.cos(middle[0] * Math.PI / 180);
  const reach = Math.max(...near.map((one) => Math.max(Math.abs(one.longitude - middle[1]) * shrink / (WIDTH / 2 - EDGE), Math.abs(one.latitude - middle[0]) / (HEIGHT / 2 - EDGE))), 0.004 / WIDTH);
  const x = (one) => WIDTH / 2 + (one.longitude - middle[1]) * shrink / reach;
  const y = (one) => HEIGHT / 2 - (one.latitude - middle[0]) / reach;
  const inside = (one) => x(one) > 4 && x(one) < WIDTH - 4 && y(one) > 4 && y(one) < HEIGHT - 4;
  const kilometre = 1 / (KM_PER_DEGREE * reach);
  const ring = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((km) => km * kilometre > 54) ?? 1000;
  const taken = [];
  const label = (one, text) => {
    const left = x(one) > WIDTH * 0.62;
    const box = { x: left ? x(one) - 14 - text.length * 6.3 : x(one) + 13, y: y(one) + 4, w: text.length * 6.3 };
    if (taken.some((other) => Math.abs(other.y - box.y) < 14 && box.x < other.x + other.w && other.x < box.x + box.w)) return null;
    taken.push(box);
    return svg("text", { x: left ? x(one) - 13 : x(one) + 13, y: box.y, "text-anchor": left ? "end" : "start" }, text);
  };
  return h("figure", { style: { margin: "0" } }, svg("svg.map", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": t("map.alt", { count: places.length }) },
    home ? [1, 2, 3].map((times) => svg("circle.ring", { cx: x(home), cy: y(home), r: times * ring * kilometre })) : null,
    others.filter(inside).map((one) => svg("circle.other", { cx: x(one), cy: y(one), r: 2.6 }, svg("title", {}, one.name))),
    home ? places.map((one) => svg("line.link", { x1: x(home), y1: y(home), x2: x(one), y2: y(one) })) : null,
    [...places].reverse().map((one) => svg("g", {}, svg("circle.pin", { cx: x(one), cy: y(one), r: 9 }), svg("text.n", { x: x(one), y: y(one) + 3.8, "text-anchor": "middle" }, String(one.rank)), svg("title", {}, one.name))),
    home ? svg("circle.home", { cx: x(home), cy: y(home), r: 6.5 }) : null,
    places.map((one) => label(one, one.name.length > 30 ? `${one.name.slice(0, 29)}…` : one.name)),
    svg("line.link", { x1: 18, y1: HEIGHT - 16, x2: 18 + ring * kilometre, y2: HEIGHT - 16 }), svg("text.scale", { x: 18, y: HEIGHT - 22 }, `${number(ring)} km`),
    svg("text.compass", { x: WIDTH - 20, y: 22, "text-anchor": "middle" }, t("map.north"))),
  h("figcaption.small.soft.gap-s", home ? t("map.caption", { ring: number(ring) }) : t("map.caption.away")));
}
