/** `npm run demo`: one service, one room, and who knocks on it. */
import { tellStory } from './tell-story.mjs'

tellStory('scripts/demo/story.ts')
