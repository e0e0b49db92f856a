/**
 * The wire contracts of proto/adtally/v1 as grpc-js wants them. Cold methods go through
 * proto-loader; hot ones keep their bytes, for a codec of their own.
 */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { loadSync } from "@grpc/proto-loader";
import { protoPath as healthProto } from "grpc-health-check";
import descriptors from "protobufjs/ext/descriptor/index.js";
import { invariant } from "../../core/errors.ts";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import type { Options, PackageDefinition } from "@grpc/proto-loader";

/** As much as is mended here. */
interface FileDescriptor {
  readonly messageType: readonly {
    readonly field: readonly { typeName: string }[];
    readonly nestedType: readonly { name: string; readonly options?: { readonly mapEntry?: boolean } }[];
  }[];
}

const PROTO_ROOT = fileURLToPath(new URL("../../../proto/", import.meta.url));
const PACKAGE_DIR = "adtally/v1";

/** Every contract. 64-bit numbers are decimal strings, enums their names, bytes Buffers. */
export function loadProtos(): PackageDefinition {
  return load({ longs: String, enums: String, defaults: true, oneofs: true });
}

/** What reflection shows: the contracts with their fields named as in their files, and the health service. */
export function loadForReflection(): PackageDefinition {
  const all = { ...load({ keepCase: true }), ...loadSync(healthProto, { keepCase: true }) };
  const mended = Object.entries(all).map(([name, definition]) => {
    const { fileDescriptorProtos: files } = definition as { readonly fileDescriptorProtos?: unknown };
    if (!Array.isArray(files)) return [name, definition];
    return [name, { ...definition, fileDescriptorProtos: (files as Buffer[]).map(mendMaps) }];
  });
  return Object.fromEntries(mended) as PackageDefinition;
}

/** A map's entry has a name of its own by protobuf's rules, which clients in Go insist on; protobufjs has another. */
function mendMaps(bytes: Buffer): Buffer {
  const file = descriptors.FileDescriptorProto.decode(bytes) as unknown as FileDescriptor;
  for (const { field, nestedType } of file.messageType) {
    for (const nested of nestedType.filter(({ options }) => options?.mapEntry === true)) {
      const map = field.find(({ typeName }) => typeName === nested.name);
      nested.name += "Entry";
      if (map !== undefined) map.typeName = nested.name;
    }
  }
  return Buffer.from(descriptors.FileDescriptorProto.encode(file as never).finish());
}

function load(options: Options): PackageDefinition {
  const files = readdirSync(`${PROTO_ROOT}${PACKAGE_DIR}`).filter((name) => name.endsWith(".proto"));
  return loadSync(
    files.sort().map((name) => `${PACKAGE_DIR}/${name}`),
    { includeDirs: [PROTO_ROOT], ...options },
  );
}

export function serviceOf(protos: PackageDefinition, name: string): ServiceDefinition {
  const service = protos[`adtally.v1.${name}`];
  invariant(service !== undefined && !("format" in service), `no service ${name} in proto/${PACKAGE_DIR}`);
  return service as ServiceDefinition;
}

export type RawMethod = MethodDefinition<Buffer, Buffer>;

/** The service with messages left as bytes in both directions. */
export function rawServiceOf(protos: PackageDefinition, name: string): Readonly<Record<string, RawMethod>> {
  const raw: Record<string, RawMethod> = {};
  for (const [method, definition] of Object.entries(serviceOf(protos, name))) {
    raw[method] = {
      ...definition,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
  }
  return raw;
}

function same(bytes: Buffer): Buffer {
  return bytes;
}
