import { newPlaceholder } from "../gateway/placeholders.ts";
import type { SecretForm, SecretGrant } from "../gateway/secret-grants.ts";

/** The secrets of one run of a proxy, some of which clients send by a placeholder. */
export interface PlaceholderSecrets {
  secrets: Record<string, SecretGrant>;
  /** What clients are given in place of those. */
  environment: Record<string, string>;
}

/**
 * Make a placeholder for each secret that the policy has variables for. Such a secret goes in place of its placeholder only,
 * in the fields that it was granted for.
 *
 * @param variables secrets and the variables in which clients expect them
 */
export function withPlaceholders(
  secrets: Readonly<Record<string, SecretGrant>>,
  variables: readonly (readonly [secret: string, variable: string])[],
): PlaceholderSecrets {
  const all: Record<string, SecretGrant> = { ...secrets };
  const environment: Record<string, string> = {};
  for (const [name, variable] of variables) {
    const grant = all[name];
    if (grant === undefined) continue;
    const placeholder = grant.placeholder ?? newPlaceholder();
    all[name] = { ...grant, placeholder, forms: grant.forms.map(replacing) };
    environment[variable] = placeholder;
  }
  return { secrets: all, environment };
}

function replacing(form: SecretForm): SecretForm {
  if ("field" in form) return { replaces: form.field };
  return "basic" in form ? { replaces: form.basic } : form;
}
