import { migrationOf } from '../../adapters/sql/migration/adapter-migration.js'
import type { Migration, MigrationSource } from '../../adapters/sql/migration/migration-source.js'
import { deriveKeys } from '../../tokens/index.js'
import { createUserRows, userModel } from '../../users/index.js'
import { busyText, KEPT, messageOf } from '../arguments.js'
import type { ExitCode, Terminal, Values } from '../command.js'
import type { Config } from '../config.js'
import { applyMove, inspect, pendingOf, type Inspection } from './inspection.js'
import { quoted, type Digests, type Move } from './move.js'

/** `fastify-users migrate --from fastapi-users`. */
export async function runMoveCommand (values: Values, terminal: Terminal, config: Config): Promise<ExitCode> {
  const digests = chooseBackend(values, config)
  if (digests !== null && 'problem' in digests) return refuse(terminal, digests.problem)
  const migration = migrationOf(config.options.adapter)
  if (migration === null) {
    return refuse(terminal, `the adapter of ${config.file} has no tables that this command could change`)
  }
  const source = await migration.connect('refuse')
  const code = await runMove(source, readMove(values, config, migration, digests), values, terminal).catch(
    (error: unknown): ExitCode => {
      return refuse(
        terminal,
        busyText(error) ??
          (migration.isAtomic ? `nothing was changed: ${messageOf(error)}` : `${messageOf(error)}; ${KEPT}`)
      )
    }
  )
  await source.close()
  return code
}

async function runMove (source: MigrationSource, move: Move, values: Values, terminal: Terminal): Promise<ExitCode> {
  const changing = values['yes'] === true
  const inspection = await source.transaction(changing ? 'write' : 'read', async (database) => {
    const found = await inspect(database, move)
    if (changing && !('problems' in found)) await applyMove(database, move, found)
    return found
  })
  if ('problems' in inspection) {
    terminal.complain(`fastify-users: the move is stopped, and nothing was changed:\n${bullets(inspection.problems)}`)
    return 1
  }
  const pending = pendingOf(inspection, move)
  if (pending.length === 0) terminal.print('Nothing to do: the tables are in our form.')
  else terminal.print(`${changing ? 'Changed' : 'A full move would change'}:\n${bullets(pending)}`)
  const hint = hintOfTokens(inspection, move)
  if (hint !== null) terminal.print(hint)
  if (changing || pending.length === 0) return 0
  terminal.print(`Nothing was changed yet. Changes pending: ${pending.length}; --yes makes them.`)
  return values['check'] === true ? 1 : 0
}

function readMove (values: Values, config: Config, { mappings }: Migration, digests: Digests | null): Move {
  const {
    options,
    settings: { name, schemas },
    secrets
  } = config
  // as many as there are secrets, one at least
  const stampKeys = deriveKeys(secrets, `${name}:stamp`).map(({ secret }) => secret) as [string, ...string[]]
  // reads no rows here: it knows ids and stamps
  const rows = createUserRows(options.adapter, userModel(schemas), schemas, stampKeys)
  return { config, rows, mappings, pruneOrphans: values['prune-orphans'] === true, digests }
}

/** Digests differ between backends, so it must be clear whose the tokens are. */
function chooseBackend (
  { 'hash-tokens': hashTokens, backend }: Values,
  { file, options, settings }: Config
): Digests | { problem: string } | null {
  if (hashTokens !== true) return null
  if (settings.tokenStorage !== 'digest') {
    return {
      problem: `--hash-tokens needs tokenStorage: 'digest' in ${file}: with 'plain' the application would know no session any more`
    }
  }
  const names = options.backends.filter(({ strategy }) => strategy.name === 'database').map(({ name }) => name)
  const name = backend ?? (names.length === 1 ? names[0] : undefined)
  if (name === undefined && names.length === 0) {
    return { problem: `no backend of ${file} stores tokens; leave out --hash-tokens` }
  }
  if (typeof name !== 'string') {
    return { problem: `several backends store tokens: name one of ${names.join(', ')} with --backend` }
  }
  if (!names.includes(name)) {
    return { problem: `there is no backend ${quoted(name)} that stores tokens; there are: ${names.join(', ')}` }
  }
  return { backend: name, label: `${settings.name}:${name}` }
}

function hintOfTokens ({ plainTokens }: Inspection, { digests, config: { settings } }: Move): string | null {
  if (digests !== null || plainTokens === null) return null
  return settings.tokenStorage === 'digest'
    ? `Tokens stored as they are: ${plainTokens.count}. With tokenStorage: 'digest' they are not accepted; --hash-tokens replaces them by their digests.`
    : `Tokens stored as they are: ${plainTokens.count}. When tokenStorage is 'digest', --hash-tokens replaces them by their digests.`
}

function bullets (texts: readonly string[]): string {
  return texts.map((text) => `  - ${text}`).join('\n')
}

function refuse (terminal: Terminal, problem: string): ExitCode {
  terminal.complain(`fastify-users: ${problem}`)
  return 1
}
