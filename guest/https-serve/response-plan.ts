import type { FieldLine, Fields } from "../../src/http1/index.ts";
import { httpDate, parseHttpDate } from "./http-date.ts";

/** What a response says of the file that it carries. */
export interface Entity {
  readonly size: number;
  readonly modified: number | undefined;
  readonly mediaType: string;
  readonly entityTag: string;
}

/** The response to a request for a file: status, fields, and which bytes of the file follow. */
export interface ResponsePlan {
  readonly status: 200 | 206 | 304 | 416;
  readonly fields: FieldLine[];
  readonly offset: number;
  /** 0 where no body follows. */
  readonly length: number;
}

/**
 * Plan the response to GET or HEAD for a file that exists: conditional requests (RFC 9110, section 13) and single byte
 * ranges (section 14.2). Anything about ranges that is not understood is as if it were not there.
 */
export function planResponse(method: "GET" | "HEAD", request: Fields, entity: Entity): ResponsePlan {
  const validators: FieldLine[] = [["ETag", entity.entityTag]];
  if (entity.modified !== undefined) validators.push(["Last-Modified", httpDate(entity.modified)]);
  if (isUnchanged(request, entity)) return { status: 304, fields: validators, offset: 0, length: 0 };
  const range = method === "GET" ? rangeOf(request, entity) : undefined;
  if (range === "unsatisfiable") {
    return { status: 416, fields: [["Content-Range", `bytes */${entity.size}`]], offset: 0, length: 0 };
  }
  const { offset, length } = range ?? { offset: 0, length: entity.size };
  const fields: FieldLine[] = [
    ["Content-Type", entity.mediaType],
    ["Content-Length", String(length)],
    ["Accept-Ranges", "bytes"],
    ["X-Content-Type-Options", "nosniff"],
    ...validators,
  ];
  if (range === undefined) return { status: 200, fields, offset, length };
  fields.push(["Content-Range", `bytes ${offset}-${offset + length - 1}/${entity.size}`]);
  return { status: 206, fields, offset, length };
}

function isUnchanged(request: Fields, { entityTag, modified }: Entity): boolean {
  const tags = request.getAll("if-none-match");
  // RFC 9110, section 13.1.3: with If-None-Match the date is not looked at.
  if (tags.length > 0) {
    const members = tags
      .join(",")
      .split(",")
      .map((tag) => tag.trim().replace(/^W\//, ""));
    return members.includes("*") || members.includes(entityTag);
  }
  const since = request.get("if-modified-since");
  if (since === undefined || modified === undefined) return false;
  const date = parseHttpDate(since);
  return date !== undefined && modified <= date;
}

type Range = { offset: number; length: number };

function rangeOf(request: Fields, { size, entityTag }: Entity): Range | "unsatisfiable" | undefined {
  const ranges = request.getAll("range");
  if (ranges.length !== 1) return undefined;
  const condition = request.get("if-range");
  if (condition !== undefined && condition !== entityTag) return undefined;
  const match = /^bytes=([0-9]{0,15})-([0-9]{0,15})$/i.exec(ranges[0]!);
  if (match === null || (match[1] === "" && match[2] === "")) return undefined;
  if (match[1] === "") {
    const length = Math.min(Number(match[2]), size);
    return length === 0 ? "unsatisfiable" : { offset: size - length, length };
  }
  const first = Number(match[1]);
  const last = match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (match[2] !== "" && Number(match[2]) < first) return undefined;
  if (first >= size) return "unsatisfiable";
  return { offset: first, length: last - first + 1 };
}
