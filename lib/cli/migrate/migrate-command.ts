import { quoted } from '../../shared/text.js'
import type { Command, Values } from '../command.js'
import { CONFIG_FILE, withConfig } from '../config.js'
import { runMoveCommand } from './move-command.js'
import { runUpgrade } from './upgrade-command.js'

const HELP = `Usage: fastify-users migrate [options]
       fastify-users migrate --from fastapi-users [options]

Brings the configured database to the current schema: creates missing tables, applies
the upgrade steps of models, and adds missing columns, widths and indexes. For mongodb()
these are collections and indexes. Only upgrade steps drop columns and indexes.
Processes that run it at the same time wait for each other.
PostgreSQL and SQLite apply all changes in one transaction. On MySQL and MariaDB, run
it again to finish after it was interrupted.

  --config FILE          Config file with the options of the application. Default:
                         ${CONFIG_FILE}.
  --dry-run              Prints the statements and changes nothing.
  --check                Changes nothing and exits with 1 if changes are pending.
  --help                 Prints this text.

With --from it reports what the existing tables of FastAPI Users lack, and adds it with
--yes. These are the tables of the core, the strategies and the features in the config.
If rows conflict with the new schema, it lists them and changes nothing.

  --from fastapi-users   Origin of the tables.
  --yes                  Applies the changes. Without it nothing is changed.
  --check                Changes nothing and exits with 1 if changes are pending.
  --prune-orphans        Deletes rows, such as tokens, whose user does not exist.
  --hash-tokens          Replaces stored plain tokens by digests. Stop the application
                         first, then start it with tokenStorage: 'digest'.
  --backend NAME         Backend of the tokens, if several backends store tokens.

Exit codes: 0 success, 1 refused, failed or changes pending, 2 wrong usage.`

const OPTIONS_OF_FROM = ['yes', 'prune-orphans', 'hash-tokens', 'backend']

/** The command `fastify-users migrate`. */
export const migrateCommand: Command = {
  summary: 'Brings the database to the current schema.',
  help: HELP,
  options: {
    from: { type: 'string' },
    config: { type: 'string', default: CONFIG_FILE },
    'dry-run': { type: 'boolean' },
    yes: { type: 'boolean' },
    check: { type: 'boolean' },
    'prune-orphans': { type: 'boolean' },
    'hash-tokens': { type: 'boolean' },
    backend: { type: 'string' }
  },

  async run (values, terminal) {
    const usageError = findUsageError(values)
    if (usageError !== null) {
      terminal.printError(`fastify-users: ${usageError}`)
      return 2
    }
    return await withConfig(values, terminal, (config) =>
      values['from'] === undefined ? runUpgrade(values, terminal, config) : runMoveCommand(values, terminal, config)
    )
  }
}

function findUsageError (values: Values): string | null {
  const { from, yes, check, backend, 'hash-tokens': hashTokens, 'dry-run': dryRun } = values
  if (from === undefined) {
    const stray = OPTIONS_OF_FROM.find((name) => values[name] !== undefined)
    if (stray !== undefined) return `--${stray} requires --from fastapi-users`
    return dryRun === true && check === true ? '--check and --dry-run cannot be combined' : null
  }
  if (from !== 'fastapi-users') return `migrate --from supports only fastapi-users, not ${quoted(from)}`
  if (dryRun === true) return '--dry-run and --from cannot be combined; --from changes nothing without --yes'
  if (yes === true && check === true) return '--check and --yes cannot be combined'
  return backend !== undefined && hashTokens !== true ? '--backend requires --hash-tokens' : null
}
