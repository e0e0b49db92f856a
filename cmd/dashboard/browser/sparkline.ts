/** Small drawings beside a number that says the same: hidden from readers. */
import { html, type VNode } from "./ui.ts";

const WIDTH = 120;
const HEIGHT = 28;

export function Sparkline({ values }: { readonly values: readonly number[] }): VNode {
  const most = Math.max(1, ...values);
  const x = (index: number) => (values.length < 2 ? 0 : (index / (values.length - 1)) * WIDTH);
  const y = (value: number) => HEIGHT - 2 - (value / most) * (HEIGHT - 4);
  const line = values.map((value, index) => `${x(index).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
  return html`<svg
    class="spark"
    viewBox="0 0 ${WIDTH} ${HEIGHT}"
    aria-hidden="true"
    preserveAspectRatio="none"
  >
    ${values.length > 1 && html`<path class="fill" d="M0 ${HEIGHT}L${line}L${WIDTH} ${HEIGHT}Z" /><path class="stroke" d="M${line}" />`}
  </svg>`;
}

/** The last seconds, the newest at the right. */
export function Pulse({ values }: { readonly values: readonly number[] }): VNode {
  const most = Math.max(1, ...values);
  const width = WIDTH / Math.max(1, values.length);
  return html`<svg
    class="pulse"
    viewBox="0 0 ${WIDTH} ${HEIGHT}"
    aria-hidden="true"
    preserveAspectRatio="none"
  >
    ${values.map(
      (value, index) =>
        html`<rect
          x=${(index * width).toFixed(2)}
          width=${(width * 0.7).toFixed(2)}
          y=${(HEIGHT - (value / most) * HEIGHT).toFixed(2)}
          height=${((value / most) * HEIGHT).toFixed(2)}
        />`,
    )}
  </svg>`;
}
