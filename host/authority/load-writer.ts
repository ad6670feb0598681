import "./reflect-metadata.ts";

/**
 * The library that writes certificates takes longer to load than everything else here, so it is loaded when a certificate
 * other than a leaf is to be written. A static import beside that of `reflect-metadata` would be wrong in a bundle, which
 * loads packages before it runs any module of its own.
 */
export async function loadWriter() {
  return await import("./certificate-writer.ts");
}
