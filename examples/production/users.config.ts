// The config of the command line: `npx fastify-users migrate --config …`
import { readSettings } from './settings.js'
import { createClients, usersOptions } from './users-options.js'

const settings = readSettings(process.env)
export default usersOptions(settings, createClients(settings))
