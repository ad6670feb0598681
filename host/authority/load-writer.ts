import { provideReflectMetadata } from "./reflect-metadata.ts";

/**
 * The library that writes certificates takes longer to load than everything else here, so it is loaded when a certificate
 * other than a leaf is to be written.
 */
export async function loadWriter() {
  provideReflectMetadata();
  return await import("./certificate-writer.ts");
}
