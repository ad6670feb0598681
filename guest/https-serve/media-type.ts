/** The media type of a file by the suffix of its name, for Content-Type. */
export function mediaType(name: string): string {
  const dot = name.lastIndexOf(".");
  return (dot < 1 ? undefined : types.get(name.slice(dot + 1).toLowerCase())) ?? "application/octet-stream";
}

const types = new Map<string, string>([
  ["avif", "image/avif"],
  ["css", "text/css; charset=utf-8"],
  ["csv", "text/csv; charset=utf-8"],
  ["gif", "image/gif"],
  ["gz", "application/gzip"],
  ["htm", "text/html; charset=utf-8"],
  ["html", "text/html; charset=utf-8"],
  ["ico", "image/vnd.microsoft.icon"],
  ["jpeg", "image/jpeg"],
  ["jpg", "image/jpeg"],
  ["js", "text/javascript; charset=utf-8"],
  ["json", "application/json"],
  ["md", "text/markdown; charset=utf-8"],
  ["mjs", "text/javascript; charset=utf-8"],
  ["mp3", "audio/mpeg"],
  ["mp4", "video/mp4"],
  ["pdf", "application/pdf"],
  ["png", "image/png"],
  ["svg", "image/svg+xml"],
  ["tar", "application/x-tar"],
  ["txt", "text/plain; charset=utf-8"],
  ["wasm", "application/wasm"],
  ["webm", "video/webm"],
  ["webp", "image/webp"],
  ["woff", "font/woff"],
  ["woff2", "font/woff2"],
  ["xml", "application/xml"],
  ["zip", "application/zip"],
]);
