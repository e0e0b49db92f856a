import { describe, expect, test } from "vitest";
import { parseStatement } from "./statement.ts";

const split = (text: string) => {
  const { insert } = parseStatement(text);
  return (
    insert && { format: insert.format, data: text.slice(insert.dataAt), head: text.slice(0, insert.infileAt) }
  );
};

describe("an INSERT is cut into head and data", () => {
  test("data begin behind FORMAT's line end, and are not looked at", () => {
    expect(split("INSERT INTO t (a) FORMAT RowBinary\n;'\n")).toEqual({
      format: "RowBinary",
      data: ";'\n",
      head: "INSERT INTO t (a) ",
    });
  });
  test("FROM INFILE goes before SETTINGS", () => {
    expect(split("insert into `a b`.t settings async_insert=0 format TSV\n1")?.head).toBe(
      "insert into `a b`.t ",
    );
  });
  test("VALUES hold strings with anything in them", () => {
    expect(split("INSERT INTO t VALUES (1,'; drop')")).toMatchObject({
      format: "Values",
      data: " (1,'; drop')",
    });
  });
  test("FORMAT Values is a format like the others, and a table may be called values", () => {
    expect(split("INSERT INTO values FORMAT Values\n(1)")).toEqual({
      format: "Values",
      data: "(1)",
      head: "INSERT INTO values ",
    });
  });
  test("INSERT SELECT has data only with input()", () => {
    expect(split("INSERT INTO t SELECT 1")).toBeUndefined();
    const text = "INSERT INTO t SELECT a+1 FROM input('a DateTime64(3, \\'UTC\\')') FORMAT RowBinary\nxyz";
    const { insert } = parseStatement(text);
    expect(insert?.input?.structure).toBe("a DateTime64(3, 'UTC')");
    expect(text.slice(insert?.dataAt)).toBe("xyz");
  });
  test("a column named format, a table in quotes and comments do not mislead", () => {
    expect(split('/* FORMAT x */ INSERT INTO "FORMAT" (format, b) -- VALUES\nFORMAT CSV\n1,2')).toMatchObject(
      {
        format: "CSV",
        data: "1,2",
      },
    );
  });
});

describe("other statements", () => {
  test("the output format and the parameters are found", () => {
    const s = parseStatement("SELECT {x:UInt8}, '{y:String}', map('a',1) FROM t FORMAT JSONEachRow;");
    expect(s.outputFormat).toBe("JSONEachRow");
    expect([...s.parameters]).toEqual(["x"]);
  });
  test("two statements are refused, a trailing semicolon and one in a string are not", () => {
    expect(() => parseStatement("SELECT 1; DROP TABLE t")).toThrow(/Multi-statements/);
    expect(parseStatement("SELECT ';' ; -- done").verb).toBe("SELECT");
  });
  test("files of the server are out of reach", () => {
    expect(() => parseStatement("SELECT 1 INTO /* */ OUTFILE 'x'")).toThrow(/INTO_OUTFILE_NOT_ALLOWED/);
    expect(() => parseStatement("INSERT INTO t FROM INFILE 'x' FORMAT CSV")).toThrow(/NOT_IMPLEMENTED/);
  });
  test("SYSTEM KILL ended the program, its starter and the shell with the engine", () => {
    expect(() => parseStatement("system /* */ kill")).toThrow(/ACCESS_DENIED/);
    expect(() => parseStatement("SYSTEM SHUTDOWN;")).toThrow(/ACCESS_DENIED/);
    expect(parseStatement("SYSTEM FLUSH LOGS").verb).toBe("SYSTEM");
    expect(parseStatement("SELECT 1 AS system, 2 AS kill").verb).toBe("SELECT");
  });
  test("an INSERT behind WITH is seen", () => {
    expect(parseStatement("WITH 1 AS x INSERT INTO t SELECT x")).toMatchObject({
      verb: "WITH",
      hasInsert: true,
    });
  });
});
