import { CurrentPasswordBody } from '../../schemas/index.js'
import type { Settings } from '../contracts/settings.js'
import { optionalBody } from './optional-body.js'
import { CONFIRM_ERRORS, UNREAD_BODY_ERRORS, type ErrorWord } from './replies.js'

/**
 * Returns the body schema of a route that calls `kit.requireStepUp` and whose body has no other fields than the current
 * password, and the errors that the body and the check can cause. `inEveryMode` is the option of `requireStepUp`. The
 * route needs the hook `acceptMissingBody`.
 */
export function stepUpBody (
  { sensitiveChanges }: Settings,
  { inEveryMode = false }: { inEveryMode?: boolean } = {}
): { body: { body?: typeof CurrentPasswordBody }; errors: readonly ErrorWord[] } {
  return sensitiveChanges === 'confirm' || inEveryMode
    ? { body: optionalBody(CurrentPasswordBody), errors: CONFIRM_ERRORS }
    : { body: {}, errors: UNREAD_BODY_ERRORS }
}
