// Charts of the last hour, which server-sent events keep current.
import {all, find, follow} from "./admin.js";

const points = [];
const KEPT = 720;
const size = (bytes) => {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${Number(bytes.toPrecision(3))} ${units[unit]}`;
};
const figure = (value) => (value >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString());
const WRITE = {
  hit_ratio: (value) => `${(100 * value).toFixed(1)} %`,
  hit_ms: (value) => `${figure(value)} ms`,
  render_ms: (value) => `${figure(value)} ms`,
  sent: size,
  memory: size,
};

// The value now; a percentile of a moment without requests is that of the last request.
function now(name) {
  for (let index = points.length - 1; index >= 0; index -= 1) {
    if (points[index][name] !== null) return points[index][name];
  }
  return null;
}

const charts = [];
function draw() {
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--soft", "--line"].map((name) => style.getPropertyValue(name).trim());
  const colors = style.getPropertyValue("--series").split(",").map((one) => one.trim());
  for (const chart of charts.splice(0)) chart.plot.destroy();
  for (const element of all("[data-chart]")) {
    const names = element.dataset.chart.split(" ");
    const titles = element.dataset.names.split("|");
    const ratio = names[0] === "hit_ratio";
    const log = "log" in element.dataset;
    const axis = {stroke: ink, grid: {stroke: line, width: 1}, ticks: {stroke: line, width: 1}, font: "12px system-ui"};
    const plot = new uPlot({
      width: element.clientWidth,
      height: 208,
      cursor: {y: false, points: {size: 6}},
      scales: {x: {range: (_, low, high) => [Math.min(low, high - 300), high]}, y: ratio ? {range: [0, 1]} : log ? {distr: 3} : {range: (_, low, high) => [0, Math.max(high * 1.1, 1)]}},
      axes: [axis, {...axis, size: 56, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : ratio ? `${Math.round(100 * tick)} %` : figure(tick)))}],
      series: [
        {value: (_, at) => (at ? new Date(at * 1000).toLocaleTimeString() : "–")},
        ...names.map((name, index) => ({
          label: titles[index],
          stroke: colors[index],
          width: 2,
          spanGaps: true,
          points: {show: points.length < 60, size: 4},
          fill: index === 0 && !log ? `color-mix(in srgb, ${colors[index]} 12%, transparent)` : undefined,
          value: (_, value) => (value === null || value === undefined ? "–" : (WRITE[name] ?? figure)(value)),
        })),
      ],
    }, data(names, log), element);
    charts.push({plot, names, log, element});
  }
}

function data(names, log) {
  const column = (name) => points.map((point) => (log && !(point[name] > 0) ? null : point[name]));
  return [points.map((point) => point.at), ...names.map(column)];
}

function show() {
  for (const chart of charts) chart.plot.setData(data(chart.names, chart.log));
  for (const element of all("[data-now]")) {
    const value = now(element.dataset.now);
    element.textContent = value === null ? "–" : (WRITE[element.dataset.now] ?? figure)(value);
  }
}

const note = find("#stream");
follow("/admin/events", {
  points(event) {
    points.splice(0, points.length, ...JSON.parse(event.data));
    note.textContent = points.length ? "" : "The first figures arrive in a few seconds.";
    show();
  },
  point(event) {
    points.push(JSON.parse(event.data));
    if (points.length > KEPT) points.shift();
    note.textContent = "";
    show();
  },
  error() { note.textContent = "The connection to the server is lost; trying again."; },
});

draw();
document.addEventListener("theme", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
new ResizeObserver(() => {
  for (const {plot, element} of charts) if (plot.width !== element.clientWidth) plot.setSize({width: element.clientWidth, height: 208});
}).observe(find(".charts"));
