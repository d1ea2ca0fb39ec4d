import { mysqlDialect } from '../adapters/sql/dialects/mysql.js'
import { postgresDialect } from '../adapters/sql/dialects/postgres.js'
import { sqliteDialect } from '../adapters/sql/dialects/sqlite.js'
import type { Dialect } from '../adapters/sql/dialects/dialect.js'
import { migrationOf } from '../adapters/sql/migration/adapter-migration.js'
import { planCreation } from '../adapters/sql/migration/upgrade.js'
import type { Model } from '../contracts/models.js'
import { schemaOf, withApplication } from './application.js'
import type { Command } from './command.js'
import { CONFIG_FILE, withConfig } from './config.js'
import { scriptOf } from './sql-script.js'

const dialects: ReadonlyMap<string, Dialect> = new Map(
  [sqliteDialect, postgresDialect, mysqlDialect].map((dialect) => [dialect.name, dialect])
)
const names = [...dialects.keys()].join(', ')

const HELP = `Usage: fastify-users schema [options]

Prints the statements that make all tables in an empty database: those of the users
with their custom fields, of stored tokens, and of the features. For mongodb() they are
a script for mongosh. Changes nothing and needs no database.

  --dialect NAME   ${names} (that of the adapter).
  --config FILE    The options of the application (${CONFIG_FILE}).
  --help           Shows this.

Exit codes: 0 done, 1 refused or failed, 2 called in a wrong way.`

/** `fastify-users schema`. */
export const schemaCommand: Command = {
  summary: 'Prints the statements that make the tables.',
  help: HELP,
  options: { config: { type: 'string', default: CONFIG_FILE }, dialect: { type: 'string' } },

  async run (values, terminal) {
    const name = values['dialect']
    if (name !== undefined && !dialects.has(String(name))) {
      terminal.complain(`fastify-users: --dialect is one of ${names}`)
      return 2
    }
    return await withConfig(values, terminal, async (config) => {
      const own = schemaOf(config)
      const migration = migrationOf(config.options.adapter)
      // the adapter's knows its schema
      const dialect = migration?.dialect.name === name ? migration?.dialect : dialects.get(String(name))
      const plan =
        dialect === undefined
          ? own?.creation
          : (models: readonly Model[]) => planCreation(dialect, models, migration?.mappings ?? {})
      if (plan === undefined) {
        terminal.complain(`fastify-users: the adapter of ${config.file} has no dialect: say --dialect, one of ${names}`)
        return 2
      }
      const { steps } = await withApplication(config, ({ models }) => plan(models))
      terminal.print(scriptOf(steps))
      return 0
    })
  }
}
