import { Type, type TObject } from '@sinclair/typebox'
import { component, isChecked, RememberedLoginBody } from '../../schemas/index.js'
import type { Settings } from '../contracts/settings.js'

/**
 * Returns the schema of a login body, with `remember_me` if users can ask for a longer session at the backend. The
 * schema must be a named component.
 */
export function rememberableBody<Body extends TObject> (
  settings: Settings,
  backend: string,
  body: Body
): Body | TObject {
  if (!settings.rememberMe(backend)) return body
  const { remember_me: rememberMe } = RememberedLoginBody.properties
  return Type.Object({ ...body.properties, remember_me: rememberMe }, component(`Remembered${body.title ?? 'Login'}`))
}

/** Returns true if a login body asks for a longer session. */
export function wantsToBeRemembered (body: { readonly remember_me?: unknown }): boolean {
  return isChecked(body.remember_me)
}
