import { createSecretKey } from 'node:crypto'
import jsonwebtoken from 'jsonwebtoken'
import { ExtractJwt, Strategy } from 'passport-jwt'
import { PATH, SECRET } from './user-rows.js'

// a secret in the form of text would be converted to a key object for each request
const key = createSecretKey(Buffer.from(SECRET))

/** Returns the strategy of passport-jwt that loads the row. */
export function rowStrategy (load) {
  const options = { jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(), secretOrKey: key, algorithms: ['HS256'] }
  return new Strategy(options, (claims, done) => {
    const found = load(claims.sub)
    done(null, found?.session_stamp === claims.ver ? found : false)
  })
}

/** Returns a request with a token of the user. */
export function jwtRequests (user) {
  const token = jsonwebtoken.sign({ sub: user.id, ver: user.session_stamp }, key, { expiresIn: '1h' })
  return [{ method: 'GET', path: PATH, headers: { authorization: `Bearer ${token}` } }]
}
