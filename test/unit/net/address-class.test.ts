import { describe, expect, it } from "vitest";
import { type AddressClass, classify, isLinkLocalPrefix, isRestricted } from "../../../host/net/address-class.ts";
import { parseIpAddress, parseIpPrefix } from "../../../src/wire/ip-address.ts";

const table: [AddressClass, string[]][] = [
  [
    "public",
    [
      "1.1.1.1",
      "8.8.8.8",
      "100.63.255.255",
      "100.128.0.0",
      "169.253.255.255",
      "172.32.0.1",
      "2606:4700::1111",
      "2001:1::1",
      "2a00:1450::1",
      "64:ff9b::808:808",
      "::ffff:8.8.8.8",
    ],
  ],
  ["loopback", ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]],
  ["private", ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00::1", "fc00::1", "fec0::1", "::ffff:10.1.2.3"]],
  ["shared", ["100.64.0.1", "100.127.255.255"]],
  ["unspecified", ["0.0.0.0", "0.1.2.3", "::"]],
  ["multicast", ["224.0.0.1", "239.255.255.255", "ff02::1"]],
  [
    "reserved",
    [
      "192.0.2.1",
      "198.18.0.1",
      "240.0.0.1",
      "255.255.255.255",
      "2001:db8::1",
      "2001:2::1",
      "2001:10::1",
      "192.88.99.1",
      "100::1",
      "4000::1",
      "5f00::1",
      "1::1",
      "e000::1",
    ],
  ],
  ["link-local", ["169.254.0.1", "169.254.255.255", "fe80::1", "febf::1", "::ffff:169.254.1.1", "fe80::5efe:1.2.3.4"]],
  [
    "metadata",
    [
      "169.254.169.254",
      "169.254.170.2",
      "100.100.100.200",
      "168.63.129.16",
      "fd00:ec2::254",
      "fd20:ce::254",
      "fd00:42::42",
      // the same in other spellings
      "::ffff:169.254.169.254",
      "::ffff:a9fe:a9fe",
      "::169.254.169.254",
      "::ffff:0:169.254.169.254",
      "64:ff9b::169.254.169.254",
      "64:ff9b::6464:64c8",
      "64:ff9b:1::a9fe:a9fe",
      "64:ff9b:1:a9fe:a9:fe00::",
      "2002:a9fe:a9fe::1",
      "2002:a9fe:a9fe:0:1:2:3:4",
      // Teredo: the client's address is inverted, the server's is not
      "2001:0:102:304::5601:5601",
      "2001:0:a9fe:a9fe::",
      // ISATAP
      "2001:db8::5efe:a9fe:a9fe",
      "2001:db8::200:5efe:a9fe:a9fe",
    ],
  ],
];

describe("address classes", () => {
  for (const [kind, addresses] of table)
    it.each(addresses)(`takes %s for ${kind}`, (address) => expect(classify(parseIpAddress(address))).toBe(kind));

  it("restricts link-local and metadata addresses, and only them", () => {
    expect(table.map(([kind]) => kind).filter(isRestricted)).toEqual(["link-local", "metadata"]);
  });

  it.each(["169.254.0.0/16", "169.254.169.0/24", "fe80::/10", "fe80::/64"])("knows %s for link-local as a whole", (prefix) =>
    expect(isLinkLocalPrefix(parseIpPrefix(prefix))).toBe(true),
  );

  it.each(["0.0.0.0/0", "169.0.0.0/8", "168.0.0.0/7", "::/0", "fe00::/7", "100.64.0.0/10"])("does not take %s for link-local", (prefix) =>
    expect(isLinkLocalPrefix(parseIpPrefix(prefix))).toBe(false),
  );
});
