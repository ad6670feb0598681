// Issues, verifies and revokes capability tokens with tokens.wasm: ./tokens tokens.wasm CERTIFICATE.der
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasmtime.h>

typedef wasmtime_component_val_t value;

static wasmtime_context_t *context;
static wasmtime_component_instance_t instance;
static wasmtime_component_export_index_t *interface;

static _Noreturn void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(wasmtime_error_t *error) {
  if (error == NULL) return;
  wasm_name_t message;
  wasmtime_error_message(error, &message);
  fprintf(stderr, "%.*s\n", (int)message.size, message.data);
  exit(1);
}

/** A whole file; `wasm_byte_vec_delete` frees it. */
static wasm_byte_vec_t contents(const char *path) {
  wasm_byte_vec_t bytes;
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) fail(path, strerror(errno));
  wasm_byte_vec_new_uninitialized(&bytes, (size_t)ftell(file));
  rewind(file);
  if (fread(bytes.data, 1, bytes.size, file) != bytes.size) fail(path, strerror(errno));
  fclose(file);
  return bytes;
}

// Values of the component model. Whoever makes one frees it (`wasmtime_component_val_delete`): this program ends instead.

static value text(const char *chars) {
  value made = {.kind = WASMTIME_COMPONENT_STRING};
  wasm_name_new(&made.of.string, strlen(chars), chars);
  return made;
}

static value list(size_t size, const value *items) {
  value made = {.kind = WASMTIME_COMPONENT_LIST};
  wasmtime_component_vallist_new(&made.of.list, size, items);
  return made;
}

static value bytes(const wasm_byte_vec_t *data) {
  value made = {.kind = WASMTIME_COMPONENT_LIST};
  wasmtime_component_vallist_new_uninit(&made.of.list, data->size);
  for (size_t i = 0; i < data->size; i++)
    made.of.list.data[i] = (value){.kind = WASMTIME_COMPONENT_U8, .of.u8 = (uint8_t)data->data[i]};
  return made;
}

/** What is known of the connection: here the client's certificate, and no RFC 9266 value. */
static value channel(value certificate_sha256) {
  value made = {.kind = WASMTIME_COMPONENT_RECORD};
  wasmtime_component_valrecord_new_uninit(&made.of.record, 2);
  wasmtime_component_valrecord_entry_t *fields = made.of.record.data;
  value sha256 = {.kind = WASMTIME_COMPONENT_OPTION, .of.option = wasmtime_component_val_new(&certificate_sha256)};
  fields[0] = (wasmtime_component_valrecord_entry_t){.name = text("certificate-sha256").of.string, .val = sha256};
  fields[1] = (wasmtime_component_valrecord_entry_t){.name = text("tls-exporter").of.string, .val = {.kind = WASMTIME_COMPONENT_OPTION}};
  return made;
}

/** Call a function of the component by its name in the WIT. */
#define CALL(name, results, ...) call(name, results, sizeof((value[]){__VA_ARGS__}) / sizeof(value), (value[]){__VA_ARGS__})
static value call(const char *name, size_t results, size_t count, const value *args) {
  wasmtime_component_func_t func;
  value result = {.kind = WASMTIME_COMPONENT_BOOL};
  wasmtime_component_export_index_t *index = wasmtime_component_instance_get_export_index(&instance, context, interface, name, strlen(name));
  if (index == NULL || !wasmtime_component_instance_get_func(&instance, context, index, &func)) fail(name, "not exported");
  wasmtime_component_export_index_delete(index);
  check(wasmtime_component_func_call(&func, context, args, count, &result, results));
  return result;
}

/** The value of a `result`, or the end. */
static value expect(value result) {
  if (!result.of.result.is_ok) fail("refused", result.of.result.val->of.enumeration.data);
  return result.of.result.val == NULL ? result : *result.of.result.val;
}

/** The subject, or the reason why there is none. */
static void show(const char *when, value result) {
  value *said = result.of.result.val;
  wasm_name_t name = result.of.result.is_ok ? said->of.record.data[0].val.of.string : said->of.enumeration;
  printf("%s: %s%.*s\n", when, result.of.result.is_ok ? "" : "refused, ", (int)name.size, name.data);
}

static void load(const char *path) {
  wasm_engine_t *engine = wasm_engine_new();
  context = wasmtime_store_context(wasmtime_store_new(engine, NULL, NULL));
  // An empty configuration: no files, no environment, no network. The component needs the clock and random numbers.
  check(wasmtime_context_set_wasi(context, wasi_config_new()));
  wasmtime_component_linker_t *linker = wasmtime_component_linker_new(engine);
  check(wasmtime_component_linker_add_wasip2(linker));
  wasm_byte_vec_t code = contents(path);
  wasmtime_component_t *component;
  check(wasmtime_component_new(engine, (const uint8_t *)code.data, code.size, &component));
  check(wasmtime_component_linker_instantiate(linker, context, component, &instance));
  const char *name = "sallyport:policy/tokens@0.1.0";
  interface = wasmtime_component_instance_get_export_index(&instance, context, NULL, name, strlen(name));
}

int main(int argc, char **argv) {
  if (argc != 3) fail("usage", "tokens TOKENS.wasm CERTIFICATE.der");
  load(argv[1]);
  wasm_byte_vec_t certificate = contents(argv[2]), other = {.size = 3, .data = "\1\2\3"};
  value alice = channel(CALL("certificate-sha256", 1, bytes(&certificate)));
  value somebody = channel(CALL("certificate-sha256", 1, bytes(&other)));

  value group = text("BEAM"), hour = {.kind = WASMTIME_COMPONENT_U32, .of.u32 = 3600};
  value issuer = expect(CALL("generate-issuer", 1, text("ops-1")));
  value token = expect(CALL("[method]issuer.issue", 1, issuer, text("alice"), list(1, &group), text("api"), hour, alice));
  value verifier = CALL("create-verifier", 1, text("api"));

  show("nobody trusted", CALL("[method]verifier.verify", 1, verifier, token, alice));
  expect(CALL("[method]verifier.trust", 1, verifier, text("ops-1"), CALL("[method]issuer.public-key", 1, issuer)));
  show("her certificate", CALL("[method]verifier.verify", 1, verifier, token, alice));
  show("another certificate", CALL("[method]verifier.verify", 1, verifier, token, somebody));
  CALL("[method]verifier.revoke", 0, verifier, text("ops-1"), text("alice"));
  show("revoked", CALL("[method]verifier.verify", 1, verifier, token, alice));
  CALL("[method]verifier.unrevoke", 1, verifier, text("ops-1"), text("alice"));
  show("taken back", CALL("[method]verifier.verify", 1, verifier, token, alice));
}
