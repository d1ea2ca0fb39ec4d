// Express 5 with passport-jwt, which reads the row of the user.
import { createServer } from 'node:http'
import express from 'express'
import passport from 'passport'
import { jwtRequests, rowStrategy } from './jwt-requests.js'
import { openUsers, PATH, publicUser, serve } from './user-rows.js'

serve(async (settings) => {
  const { user, load } = await openUsers(settings)
  const app = express()
  app.disable('x-powered-by').disable('etag')
  passport.use(rowStrategy(load))
  app.get(PATH, passport.authenticate('jwt', { session: false }), (request, response) => {
    response.json(publicUser(request.user))
  })
  const server = createServer(app)
  return {
    listen: () => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port))),
    async close () {
      server.close()
    },
    requests: jwtRequests(user)
  }
})
