export { FolderError, Preopened } from "./preopened.ts";
