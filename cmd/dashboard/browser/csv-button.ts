/** Saves what a table shows as CSV: the API's own rows, asked for anew. */
import { messageOf, type Api } from "./api.ts";
import { csv, type Params } from "./reports.ts";
import { html, useState, type VNode } from "./ui.ts";

interface CsvProps {
  readonly api: Api;
  readonly params: Params;
  readonly name: string;
}

export function CsvButton({ api, params, name }: CsvProps): VNode {
  const [said, setSaid] = useState<string>();
  const save = async (): Promise<void> => {
    setSaid(undefined);
    try {
      const url = URL.createObjectURL(await csv(api, params));
      const link = document.createElement("a");
      link.href = url;
      link.download = `adtally-${name}.csv`;
      link.click();
      URL.revokeObjectURL(url);
    } catch (error) {
      setSaid(messageOf(error));
    }
  };
  return html`<span class="csv">
    ${said !== undefined && html`<span class="wrong" role="alert">${said}</span>`}
    <button type="button" onClick=${() => void save()}>Download CSV</button>
  </span>`;
}
