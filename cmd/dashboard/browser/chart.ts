/**
 * A report's clicks by time, drawn by uPlot; a stretch of it is chosen with the mouse, or with the
 * keyboard: arrows move, with Shift they choose, Enter opens what was chosen, Escape lets it go.
 * What it shows stands in the table by time as well: the drawing itself is hidden from readers.
 */
import uPlot from "uplot";
import * as format from "./format.ts";
import { html, useEffect, useRef, useState, type VNode } from "./ui.ts";
import { STEP_NAMES, type Granularity } from "./view.ts";

export interface Point {
  readonly fromMs: number;
  readonly toMs: number;
  readonly clicks: number;
  readonly notBilled: number;
  readonly before: number | undefined;
  /** That more clicks of it can hardly come. */
  readonly isOver: boolean;
}

interface ChartProps {
  readonly points: readonly Point[];
  readonly step: Granularity;
  readonly zone: string;
  readonly theme: string;
  readonly onBrush: (fromMs: number, toMs: number) => void;
}

const HEIGHT = 260;
const DAY_S = 86_400;
const LEAST_DRAG_PX = 6;

export function Chart({ points, step, zone, theme, onBrush }: ChartProps): VNode {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const latest = useRef({ points, onBrush });
  latest.current = { points, onBrush };
  const [at, setAt] = useState<number>();
  const anchor = useRef<number>(undefined);

  useEffect(() => {
    const element = box.current!;
    const made = new uPlot(
      optionsOf(element, zone, {
        at: setAt,
        tap(index) {
          const point = latest.current.points[index];
          if (point !== undefined) latest.current.onBrush(point.fromMs, point.toMs);
        },
        brush(fromMs, toMs) {
          const within = latest.current.points.filter((point) => point.toMs > fromMs && point.fromMs < toMs);
          if (within.length > 0) latest.current.onBrush(within[0]!.fromMs, within.at(-1)!.toMs);
        },
      }),
      dataOf(latest.current.points),
      element,
    );
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
    };
  }, [zone, theme]);
  useEffect(() => plot.current?.setData(dataOf(points)), [points, zone, theme]);

  const choose = (from: number, to: number): void => {
    const made = plot.current!;
    const [low, high] = [Math.min(from, to), Math.max(from, to)];
    const [left, right] = [points[low]!.fromMs, points[high]!.toMs].map((ms) =>
      made.valToPos(ms / 1_000, "x"),
    );
    made.setSelect({ left: left!, top: 0, width: right! - left!, height: made.over.clientHeight }, false);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const made = plot.current;
    if (made === undefined || points.length === 0) return;
    const here = Math.min(at ?? points.length - 1, points.length - 1);
    if (event.key === "Enter") {
      const from = anchor.current ?? here;
      anchor.current = undefined;
      onBrush(points[Math.min(from, here)]!.fromMs, points[Math.max(from, here)]!.toMs);
    } else if (event.key === "Escape") {
      anchor.current = undefined;
      made.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    } else {
      const moves: Record<string, number> = {
        ArrowLeft: here - 1,
        ArrowRight: here + 1,
        Home: 0,
        End: points.length - 1,
      };
      const to = moves[event.key];
      if (to === undefined) return;
      const next = Math.max(0, Math.min(points.length - 1, to));
      if (event.shiftKey) {
        anchor.current ??= here;
        choose(anchor.current, next);
      } else anchor.current = undefined;
      setAt(next);
      made.setCursor({ left: made.valToPos(points[next]!.fromMs / 1_000, "x"), top: 10 }, false);
    }
    event.preventDefault();
  };

  const point = at === undefined ? undefined : points[at];
  return html`<figure class="chart">
    <p class="readout" aria-live="polite">
      ${
        point === undefined
          ? html`<span class="faint"
              >One point is one ${STEP_NAMES[step]}. <span class="mouse">Drag across the chart</span
              ><span class="touch">Tap a point</span> to look closer.</span
            >`
          : html`<strong>${format.span(point.fromMs, point.toMs, zone)}</strong>
              <span><i class="key clicks"></i>${format.count(point.clicks)} clicks</span>
              ${
                point.before !== undefined &&
                html`<span><i class="key before"></i>${format.count(point.before)} the period before</span>`
              }
              <span><i class="key off"></i>${format.count(point.notBilled)} not billed</span>`
      }
    </p>
    <div
      class="plot"
      ref=${box}
      tabindex="0"
      role="application"
      aria-label="Clicks by time. Arrow keys move, with Shift they choose, Enter looks closer."
      onKeyDown=${onKeyDown}
    ></div>
  </figure>`;
}

function dataOf(points: readonly Point[]): uPlot.AlignedData {
  return [
    points.map(({ fromMs }) => fromMs / 1_000),
    points.map(({ before }) => before ?? null),
    points.map(({ clicks, isOver }) => (isOver ? clicks : null)),
    points.map(({ notBilled }) => notBilled),
    points.map(({ clicks, isOver }, index) =>
      isOver && points[index + 1]?.isOver !== false ? null : clicks,
    ),
  ];
}

interface Heard {
  at(index: number | undefined): void;
  brush(fromMs: number, toMs: number): void;
  tap(index: number): void;
}

function optionsOf(element: HTMLElement, zone: string, heard: Heard): uPlot.Options {
  const styles = getComputedStyle(element);
  const colour = (name: string): string => styles.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: colour("faint"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
    font: `12px ${styles.fontFamily}`,
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    padding: [10, 28, 0, 0],
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), zone),
    cursor: {
      y: false,
      drag: { x: true, y: false, setScale: false, dist: LEAST_DRAG_PX },
      points: { size: 7 },
    },
    scales: { y: { range: (_plot, _least, most) => [0, most <= 0 ? 1 : most * 1.08] } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 30,
        space: 84,
        values: (_plot, splits, _axis, _space, step) => splits.map((at) => tick(at, step, zone)),
      },
      {
        ...axis,
        size: 52,
        values: (_plot, splits) =>
          splits.map((value) => (Number.isInteger(value) ? format.short(value) : "")),
      },
    ],
    series: [
      {},
      { stroke: colour("before"), width: 1.5, dash: [4, 4], points: { show: false } },
      { stroke: colour("accent"), width: 2, fill: colour("accent-wash"), points: { show: false } },
      { stroke: colour("warn"), width: 1.5, points: { show: false } },
      // What is not over yet will rise: no line that plunges.
      { stroke: colour("accent"), width: 2, dash: [3, 5], points: { show: false } },
    ],
    hooks: {
      // A finger has no drag: its tap opens the point.
      ready: [
        (plot) =>
          plot.over.addEventListener("click", (event) => {
            const isTap = (event as PointerEvent).pointerType === "touch";
            if (isTap) heard.tap(plot.posToIdx(event.offsetX));
          }),
      ],
      setCursor: [(plot) => heard.at(plot.cursor.idx ?? undefined)],
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (width < LEAST_DRAG_PX) return;
          const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          heard.brush(from * 1_000, to * 1_000);
        },
      ],
    },
  };
}

/** Days by their date, times by the clock, and midnight by the day that begins. */
function tick(seconds: number, step: number, zone: string): string {
  const ms = seconds * 1_000;
  const isMidnight = format.clock(ms, zone) === "00:00";
  return step >= DAY_S || isMidnight ? format.day(ms, zone) : format.clock(ms, zone);
}
