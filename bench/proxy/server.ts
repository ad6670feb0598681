// The server behind the proxy, in a process of its own: plain node:tls with just enough HTTP, so that it takes little of the machine.
import { createServer } from "node:tls";
import type { AddressInfo } from "node:net";
import type { ServerOrder } from "./orders.ts";

const BLOCK = Buffer.alloc(64 * 1024, "sallyport");
const SMALL = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: bench\r\nContent-Length: 128\r\n\r\n${"x".repeat(128)}`);

process.on("message", ({ key, cert }: ServerOrder) => {
  const server = createServer({ key, cert, ALPNProtocols: ["http/1.1"] }, (socket) => {
    socket.setNoDelay(true);
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const head = text.slice(0, end);
        text = text.slice(end + 4);
        const many = /^GET \S*\/bytes\/(\d+) /.exec(head);
        if (many !== null) send(socket, Number(many[1]));
        else if (/\r\nconnection: close/i.test(head)) socket.end(SMALL);
        else socket.write(SMALL);
      }
    });
    socket.on("end", () => socket.end());
  });
  server.listen(0, "127.0.0.1", 1024, () => process.send!({ answer: (server.address() as AddressInfo).port }));
});
process.on("disconnect", () => process.exit());

function send(socket: import("node:tls").TLSSocket, bytes: number): void {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
  let left = bytes;
  const more = () => {
    while (left > 0) {
      const block = left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK;
      left -= block.length;
      if (!socket.write(block)) return void socket.once("drain", more);
    }
  };
  more();
}
