/** A report's rows as Parquet: counts as 64-bit integers, times as timestamps, ids as texts, for they are unsigned. */
import { parquetWriteBuffer } from "hyparquet-writer";
import type { Answer, Cell } from "../../reports/answer.ts";
import type { ColumnType } from "../../reports/query.ts";

const TYPES = {
  time: "TIMESTAMP",
  id: "STRING",
  text: "STRING",
  count: "INT64",
  ratio: "DOUBLE",
  flag: "BOOLEAN",
} as const;

function valueOf(type: ColumnType, cell: Cell): unknown {
  if (cell === null) return null;
  if (type === "time") return new Date(cell as number);
  return type === "count" ? BigInt(cell as number) : cell;
}

export function toParquet({ columns, rows }: Pick<Answer, "columns" | "rows">): Buffer {
  const columnData = columns.map(({ name, type }, at) => ({
    name,
    type: TYPES[type],
    nullable: true,
    data: rows.map((row) => valueOf(type, row[at]!)),
  }));
  return Buffer.from(parquetWriteBuffer({ columnData }));
}
