import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { TcpConnection } from "../../../host/net/tcp-socket.ts";

type Write = (chunks: { chunk: Buffer }[], done: (error?: Error | null) => void) => void;

test("what is written in one turn goes to the system in one piece, the end behind it", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection");
  const socket = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  const [peer] = (await accepted) as [typeof socket];
  const pieces: number[] = [];
  const real = socket._writev!.bind(socket) as Write;
  socket._writev = ((chunks, done) => {
    pieces.push(chunks.length);
    real(chunks, done);
  }) as Write;
  try {
    const { sink } = new TcpConnection(socket);
    for (const text of ["one ", "flight ", "of records"]) sink.write(Buffer.from(text));
    const received: Buffer[] = [];
    peer.on("data", (bytes: Buffer) => received.push(bytes));
    await expect.poll(() => Buffer.concat(received).toString()).toBe("one flight of records");
    expect(pieces).toEqual([3]);

    sink.write(Buffer.from(", and "));
    sink.write(Buffer.from("the end"));
    sink.end();
    await once(peer, "end");
    expect(Buffer.concat(received).toString()).toBe("one flight of records, and the end");
    expect(pieces).toEqual([3, 2]);
  } finally {
    socket.destroy();
    peer.destroy();
    server.close();
  }
});
