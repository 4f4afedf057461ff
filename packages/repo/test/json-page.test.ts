// The page about JSON: its examples are what we write.
import { expect, it } from "vitest";
import { formatTime, goJsonString, parseTime } from "../src/json/go-json.ts";
import { blockIn, readPage } from "./format-page.ts";

const page = await readPage("json");

it("shows texts as we escape them", () => {
  const lines = blockIn(page, "strings").split("\n");
  expect(lines.length).toBe(7);
  for (const line of lines) {
    const [, literal, written] = /^(".*") {2,}(".*")$/.exec(line)!;
    expect(goJsonString(JSON.parse(literal!) as string)).toBe(written);
  }
});

it("shows times as we write and read them", () => {
  for (const line of blockIn(page, "times").split("\n")) {
    const [ns, text] = line.split(/ +/);
    expect(formatTime(BigInt(ns!))).toBe(text);
    expect(parseTime(text!)).toBe(BigInt(ns!));
  }
});
