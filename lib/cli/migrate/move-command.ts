import { migrationOf } from '../../adapters/sql/migration/adapter-migration.js'
import type { Migration, MigrationSource } from '../../adapters/sql/migration/migration-source.js'
import { quoted } from '../../shared/text.js'
import { deriveKeys } from '../../tokens/index.js'
import { createUserRows, userModel } from '../../users/index.js'
import { failWith, type ExitCode, type Terminal, type Values } from '../command.js'
import type { Config } from '../config.js'
import { CHANGES_KEPT, lockTimeoutMessage, messageOf } from '../error-messages.js'
import { applyMove, inspect, describeChanges, type MoveInspection } from './inspection.js'
import type { DigestBackend, Move } from './move.js'

/** Runs `fastify-users migrate --from fastapi-users`. */
export async function runMoveCommand (values: Values, terminal: Terminal, config: Config): Promise<ExitCode> {
  const digests = chooseBackend(values, config)
  if (digests !== null && 'problem' in digests) return failWith(terminal, digests.problem)
  const migration = migrationOf(config.options.adapter)
  if (migration === null) {
    const supported = 'sqlite(), postgres(), mysql() and kysely()'
    return failWith(terminal, `the adapter of ${config.file} has no SQL tables; --from works with ${supported}`)
  }
  const source = await migration.connect('refuse')
  const move = createMove(values, config, migration, digests)
  const code = await runMove(source, move, values, terminal).catch((error: unknown) =>
    failWith(terminal, failureMessage(error, migration))
  )
  await source.close()
  return code
}

function failureMessage (error: unknown, { isAtomic }: Migration): string {
  const reason = messageOf(error)
  return lockTimeoutMessage(error) ?? (isAtomic ? `nothing was changed: ${reason}` : `${reason}; ${CHANGES_KEPT}`)
}

async function runMove (source: MigrationSource, move: Move, values: Values, terminal: Terminal): Promise<ExitCode> {
  const changing = values['yes'] === true
  const inspection = await source.transaction(changing ? 'write' : 'read', async (database) => {
    const found = await inspect(database, move)
    if (changing && !('problems' in found)) await applyMove(database, move, found)
    return found
  })
  if ('problems' in inspection) {
    return failWith(terminal, `the tables cannot be moved, and nothing was changed:\n${bullets(inspection.problems)}`)
  }
  const pending = describeChanges(inspection, move)
  if (pending.length === 0) terminal.print('Nothing to do: the tables have the current schema.')
  else terminal.print(`${changing ? 'Changed' : 'Pending'}:\n${bullets(pending)}`)
  const hint = plainTokensHint(inspection, move)
  if (hint !== null) terminal.print(hint)
  if (inspection.unused.length > 0) terminal.print(unusedMessage(inspection))
  if (changing || pending.length === 0) return 0
  terminal.print(`Nothing was changed. Changes pending: ${pending.length}; apply them with --yes.`)
  return values['check'] === true ? 1 : 0
}

function createMove (values: Values, config: Config, { mappings }: Migration, digests: DigestBackend | null): Move {
  const {
    options,
    settings: { name, schemas },
    secrets
  } = config
  // one key per secret, and the options require at least one secret
  const stampKeys = deriveKeys(secrets, `${name}:stamp`).map(({ secret }) => secret) as [string, ...string[]]
  // used only to parse ids and compute security stamps, so it does not need the opened adapter
  const rows = createUserRows(options.adapter, userModel(schemas), schemas, stampKeys)
  return { config, rows, mappings, pruneOrphans: values['prune-orphans'] === true, digests }
}

/** Returns the backend of `--hash-tokens`. Digests depend on the backend, so it must be unambiguous. */
function chooseBackend (
  { 'hash-tokens': hashTokens, backend }: Values,
  { file, options, settings }: Config
): DigestBackend | { problem: string } | null {
  if (hashTokens !== true) return null
  if (!settings.wire.storedTokens.areDigests) {
    return {
      problem:
        `--hash-tokens requires tokenStorage: 'digest' in ${file}: ` +
        "with 'plain' the application would accept none of the existing sessions"
    }
  }
  const names = options.backends.filter(({ strategy }) => strategy.name === 'database').map(({ name }) => name)
  const name = backend ?? (names.length === 1 ? names[0] : undefined)
  if (name === undefined && names.length === 0) {
    return { problem: `no backend of ${file} stores tokens; remove --hash-tokens` }
  }
  if (typeof name !== 'string') {
    return { problem: `several backends store tokens; choose one of ${names.join(', ')} with --backend` }
  }
  if (!names.includes(name)) {
    return { problem: `no backend ${quoted(name)} stores tokens; choose one of ${names.join(', ')}` }
  }
  return { backend: name, label: `${settings.name}:${name}` }
}

function plainTokensHint ({ plainTokens }: MoveInspection, { digests, config: { settings } }: Move): string | null {
  if (digests !== null || plainTokens === null) return null
  const advice =
    settings.wire.storedTokens.areDigests
      ? "With tokenStorage: 'digest' they are not accepted; replace them by digests with --hash-tokens."
      : "When you set tokenStorage: 'digest', replace them by digests with --hash-tokens."
  return `Plain tokens stored: ${plainTokens.count}. ${advice}`
}

/** Returns the warning about tables that no model of the config uses. */
function unusedMessage ({ users, unused }: MoveInspection): string {
  return (
    `Warning: these tables refer to ${quoted(users.table.name)}, but no model of the config uses them, ` +
    `so they were not checked: ${unused.map(quoted).join(', ')}. ` +
    'If one belongs to a feature, add the feature to the config and run the command again.'
  )
}

function bullets (texts: readonly string[]): string {
  return texts.map((text) => `  - ${text}`).join('\n')
}
