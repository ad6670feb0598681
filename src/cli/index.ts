export { reportTo } from "./report.ts";
